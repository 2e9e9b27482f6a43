"""Brain slices and the region under a ring: the AAL atlas on Colin27 to train on, on ICBM152 held out.

Images and atlas are those of ``brain``; here single regions of the hemispheres are asked for, among regions of the same
lobe. The cerebellum, whose parts have numbers for names, is left out.
"""

from collections.abc import Mapping

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion

from octomed_jax.errors import UserError
from octomed_jax.images.decode import encode_png
from octomed_jax.images.volumes import Volume
from octomed_jax.questions.packages import brain_slices as slices
from octomed_jax.questions.packages.brain import BRAINS, CONVENTION, LICENCES, TRIES, load_volumes
from octomed_jax.questions.packages.brain import SOURCE as BRAIN
from octomed_jax.questions.packages.brain_scene import Scene, scene, start
from octomed_jax.questions.packages.choices import OPTIONS, family
from octomed_jax.questions.packages.rendering import render_all
from octomed_jax.questions.packages.source import Made, Source, generator, side_of
from octomed_jax.schema import Question
from octomed_jax.storage import sha256_bytes

TEXT = f"This is a brain MRI slice. {CONVENTION} Which region of the AAL atlas is inside the red ring?"
# AAL's name without its side -> its name in words (Tzourio-Mazoyer et al. 2002, table 2).
REGIONS = {
    "Precentral": "precentral gyrus",
    "Frontal_Sup": "superior frontal gyrus, dorsolateral part",
    "Frontal_Mid": "middle frontal gyrus",
    "Frontal_Inf_Oper": "inferior frontal gyrus, opercular part",
    "Rolandic_Oper": "rolandic operculum",
    "Supp_Motor_Area": "supplementary motor area",
    "Rectus": "gyrus rectus",
    "Insula": "insula",
    "Cingulum_Ant": "anterior cingulate gyrus",
    "Cingulum_Mid": "median cingulate gyrus",
    "Cingulum_Post": "posterior cingulate gyrus",
    "Hippocampus": "hippocampus",
    "ParaHippocampal": "parahippocampal gyrus",
    "Amygdala": "amygdala",
    "Calcarine": "calcarine fissure and surrounding cortex",
    "Cuneus": "cuneus",
    "Lingual": "lingual gyrus",
    "Occipital_Sup": "superior occipital gyrus",
    "Occipital_Mid": "middle occipital gyrus",
    "Occipital_Inf": "inferior occipital gyrus",
    "Fusiform": "fusiform gyrus",
    "Postcentral": "postcentral gyrus",
    "Parietal_Sup": "superior parietal gyrus",
    "Parietal_Inf": "inferior parietal gyrus",
    "SupraMarginal": "supramarginal gyrus",
    "Angular": "angular gyrus",
    "Precuneus": "precuneus",
    "Paracentral_Lobule": "paracentral lobule",
    "Caudate": "caudate nucleus",
    "Putamen": "putamen",
    "Pallidum": "pallidum",
    "Thalamus": "thalamus",
    "Heschl": "Heschl gyrus",
    "Temporal_Sup": "superior temporal gyrus",
    "Temporal_Mid": "middle temporal gyrus",
    "Temporal_Inf": "inferior temporal gyrus",
}
NAMES = tuple(REGIONS.values())
INSIDE = 3  # voxels that a marked point keeps from the rim of its region


def regions_of_label(table: str) -> tuple[dict[int, str], dict[str, str]]:
    """Return AAL label number to region, and region to AAL's group of regions, from its table (number name code).

    Raises:
        UserError: a region is missing.
    """
    regions, groups = {}, {}
    for line in table.splitlines():
        number, name, code = line.split() if line.strip() else ("", "", "")
        region = REGIONS.get(name.removesuffix("_L").removesuffix("_R"))
        if region:
            regions[int(number)], groups[region] = region, code[0]
    missing = [name for name in NAMES if name not in groups]
    if missing:
        raise UserError(f"the AAL table has no {missing[0]}; delete the cached mricron-data and fetch it again")
    return regions, groups


def places_by_region(atlas: Volume, regions: Mapping[int, str]) -> dict[str, np.ndarray]:
    """Return region to voxel indices (N, 3) of the atlas that lie well inside it."""
    found = {}
    for region in NAMES:
        both_sides = np.isin(atlas.array, [number for number, name in regions.items() if name == region])
        found[region] = np.argwhere(binary_erosion(both_sides, iterations=INSIDE)).astype(np.int16)
    return found


def render(job: tuple[str, int, int, int, int]) -> Question:
    """Return one question.

    Args:
        job: split, index, place of the right option, side in pixels, seed.
    """
    split, index, letter, side, seed = job
    rng = generator("brain_regions", seed, split, index)
    region = NAMES[index % len(NAMES)]
    for _ in range(TRIES):
        image = _draw(split, region, side, rng)
        if image is not None:
            break
    else:
        raise AssertionError(f"no slice for {region} in {TRIES} tries")
    data = encode_png(image)
    return Question(
        id=f"brain_regions:region:{split}:{index:05d}",
        source="brain_regions",
        benchmark="region",
        split=split,
        task="mcq",
        question=TEXT,
        options=_options(region, letter, rng),
        answer=region,
        images=(data,),
        image_hashes=(sha256_bytes(data),),
        explanation=f"Asked: region. By the AAL atlas the ring is in the {region}.",
        cluster=BRAINS[split],
        modality="MRI",
        body_region="brain",
        licence=LICENCES[split],
    )


def _draw(split: str, region: str, side: int, rng: np.random.Generator) -> Image.Image | None:
    """Return an image, or None where what is marked is not the region."""
    at = scene().point_in(region, rng)
    plane = slices.PLANES[int(rng.integers(len(slices.PLANES)))]
    # The held-out brain is cut straight but for a slight change of place and size.
    shown = slices.cut(scene().brains[split][0], plane, at, side, rng, 1.0 if split == "train" else 0.25)
    ring = slices.ring_at(shown, at)
    if not ring or scene().names.get(int(slices.labels_under(scene().atlas, shown.points[ring][None])[0])) != region:
        return None
    return slices.with_marker(shown.gray, *ring)


def _options(region: str, letter: int, rng: np.random.Generator) -> tuple[str, ...]:
    """Return the region among three others, of its own group first; another part of the same gyrus is none."""
    others = [name for name in NAMES if family(name) != family(region)]
    order = [others[place] for place in rng.permutation(len(others))]
    groups = scene().groups
    order.sort(key=lambda name: groups[name] != groups[region])
    options = order[: OPTIONS - 1]
    options.insert(letter, region)
    return tuple(options)


def load_scene() -> Scene:
    """Return what is handed to each rendering process. Errors as ``load_volumes`` and ``regions_of_label``."""
    brains, atlas, table = load_volumes()
    regions, groups = regions_of_label(table)
    return Scene(brains, atlas, regions, places_by_region(atlas, regions), groups)


def make(settings: Mapping[str, int], seed: int, workers: int) -> Made:
    """Render ``train`` and ``test`` questions, the regions in equal parts.

    Raises:
        UserError: an image side under 56 pixels.
        TryAgain: a rendering process was killed.
    """
    side = side_of("brain_regions", settings, 56, "slices")
    handed = (load_scene(),)
    jobs = []
    for split in ("train", "test"):
        # Every letter is right equally often, so that guessing one letter gains nothing.
        letters = generator("brain_regions", seed, split).permutation(np.arange(settings[split]) % OPTIONS)
        jobs += [(split, index, int(letter), side, seed) for index, letter in enumerate(letters)]
    return Made(render_all("brain regions", render, jobs, start, handed, workers))


SOURCE = Source(
    name="brain_regions",
    title="MRI brain slices and the region under a ring; the held-out questions show another brain",
    licence=BRAIN.licence,
    access="open",
    attribution=BRAIN.attribution,
    gives={"region": "train and test"},
    packages=BRAIN.packages,
    settings=("train", "test", "side_pixels"),
    make=make,
)
