"""The whole recipe, small enough for two CPU cores and a few minutes.

Every stage is the real one: what is small is the student (random weights, its own vocabulary) and the amount of data.
``demo.py:tiny`` is smaller still and learns nothing; the tests run it end to end.
"""

from importlib.util import find_spec

from ml_collections import ConfigDict

from octomed_jax.evaluation.protocol import EVAL


def get_config(arg: str | None = None) -> ConfigDict:
    """Return the demo's config; ``arg`` is empty or ``tiny``."""
    if arg not in (None, "", "tiny"):
        raise ValueError(f"configs/demo.py knows no variant {arg!r}; use demo.py or demo.py:tiny")
    config = ConfigDict()
    config.name = "demo"
    config.run = "runs/demo"  # outputs only; no result depends on it
    config.seed = 0
    # Of a run in a sweep, in order (docs/sweeps-running.md). "curate" may follow "questions", after "sample" where its
    # difficulty is by student or teacher; "baseline" (the student before training) may stand anywhere after "shard".
    config.stages = ("questions", "distill", "verify", "shard", "train", "export", "eval")
    config.questions = ConfigDict(
        {
            # source adapter -> how many questions to make of it, by benchmark
            "brain": {"plane": 2200, "side": 80, "lobe": 160, "test_each": 200, "side_pixels": 112},
            "medcalc": {"train_each": 100, "score_train_each": 1400, "test_each": 100},
            "icd10": {"train": 150, "test": 100},
            "dicom": {"views_each": 6, "side_pixels": 112},
            "medmcqa_sample": {"test": 300},
        }
    )
    # `octomed curate` makes RUN/curated of RUN/questions; the demo does not, its sources are made without overlap.
    config.curate = ConfigDict(
        {
            # In the order in which they are done, each with its settings below.
            "steps": ("decontaminate", "deduplicate"),
            # Evaluation sets that are compared with and not carried on: name -> {"folder": DIR, "split": "test"}.
            "against": {},
            "decontaminate": {
                "ngram": 16,  # words in a row that are shared with a held-out question: 16 (the paper), 13 or 8
                "held_out": "text",  # whose words: of held-out questions without images (text), or of all
                "ignore_common": 0,  # a run that more questions have is a template and does not count; 0: all do
                "images": ("bytes",),  # how images are found to be the same: bytes (the paper), pixels, near
                "keep_shared_images": (),  # sources whose questions stay though their own test split has the image
            },
            "deduplicate": {
                "near": True,  # also questions that share most of their words
                "threshold": 0.8,  # least Jaccard similarity of near-duplicates' runs of five words: 0.7 to 1
                "images": "bytes",  # how images are found to be the same: bytes, pixels, near
            },
            "balance": {
                "tasks": ("classification", "yes_no"),  # whose answers are classes
                "sources": (),  # only these; none: all
                "ratio": 1.0,  # how often the commonest class of a benchmark may come for each of the rarest
                "most": 0,  # questions of a class; 0: as many as the ratio allows
            },
            # Modality and region by rule; replace: also where the source names them. By judge: it is asked about the
            # rest.
            "metadata": {"by": "rule", "replace": False},
            "transform": {
                "max_pixels": 262144,  # of an image that is written; the paper's
                "burned_text": "keep",  # in images of the modalities below: keep, blank (paint over), or drop
                "modalities": ("ultrasound", "X-ray"),
            },
            # The paper: 16 samples of the student, or of the teacher; a question stays with 2 to 14 of them right. Or a
            # judge: with a rating of 3 to 6.
            "difficulty": {
                "by": "student",
                "samples": 16,
                "fewest": 2,
                "most": 14,
                "model": "",
                "lowest": 3,
                "highest": 6,
            },
            # Asked by the two steps above where they are by judge.
            "judge": {
                "endpoint": "",
                "model": "",  # the paper: GPT-4.1-mini
                "api_key_env": "",  # NAME of the environment variable that holds the key
                "approved_access": ("open",),  # access classes of questions that may be sent to it
                "in_flight": 32,
                "max_tokens": 2048,
            },
        }
    )
    config.distill = ConfigDict(
        {
            # Each question is asked of every teacher that takes it; octomed_7b.py has one for text and one for images.
            "teachers": {
                "teacher": {
                    "takes": "any",  # which questions: any, text (without images) or images (with)
                    "model": "scripted",
                    "endpoints": (),  # none: the programmatic teacher is started on loopback and stopped again
                    "api_key_env": "",  # NAME of the environment variable that holds the key
                    "approved_access": ("open",),  # access classes of questions that may be sent to these endpoints
                    "terms": "worked explanations of the sources, under their licences",  # goes to the card
                    "dollars_per_million": {"prompt": 0.0, "completion": 0.0},  # tokens; 0: no cost is shown
                }
            },
            "samples": 4,  # of each teacher; the paper: 16
            "samples_per_request": 4,
            "accept": 0,  # ask a question no further once so many are correct; 0: always all samples
            "temperature": 0.6,
            "top_p": 0.95,
            "max_tokens": 1024,
            "max_pixels": 262144,  # larger images are shrunk before they are sent
            "answer_format": "boxed",
            "shuffle_options": True,  # in an order of its own for each request
            "in_flight": 64,  # requests of each teacher at a time
            "most_failed": 0.01,  # share of the requests that may fail for good before the run stops
            "patience_seconds": 600.0,  # without any reply, before it is left for another time
            "shards": 0,  # logical shards; 0: as many as workers, and so many that each holds at most 500 questions
            # What the scripted teacher gets wrong on purpose, so that rejection has something to reject.
            "scripted": {"wrong": 0.1, "malformed": 0.05, "truncated": 0.05},
        }
    )
    config.verify = ConfigDict(
        {
            # Reports and instructions have no rule of their own: none, or token_f1 with the least F1 that is accepted.
            "open_rule": "none",
            "threshold": 0.5,
            # Sources that publish responses and no gold, which are taken unchecked (docs/verifier.md).
            "trust": (),
            # Asked about what the rules call wrong or unparsed; no endpoint: no judge.
            "judge": {
                "endpoint": "",
                "model": "",
                "api_key_env": "",  # NAME of the environment variable that holds the key
                "approved_access": ("open",),  # access classes of questions that may be sent to it
                "in_flight": 32,
                "max_tokens": 2048,
                "audit": 50,  # of its verdicts are written out for a person to read
            },
        }
    )
    config.traces = ConfigDict(
        {
            "per_question": 2,  # the most accepted traces of a question; 0: all. The paper: 16 (also 1 and 4, Figure 5)
            "choose": "first",  # which: first, random, shortest, or balanced over the lengths; the paper: unknown
            "format": "cot",  # the whole response, the paper's choice; direct: the answer alone (its Table 1)
            # How the answer is marked: as_written by the teacher, boxed or tag. The paper: unknown; its released traces
            # end in a tag, and its model is asked for a box.
            "answer_format": "as_written",
            # Refuse credentialed questions, and sources that allow no derivatives or whose terms nobody has read.
            "release": False,
            "permitted": (),  # sources whose terms somebody has read, and found that they allow a release
            "leave_out": (),  # sources of which nothing comes
        }
    )
    # What an epoch holds of each source, by name: a mapping, or text as "medqa=2,pmc-vqa=0.5". Nothing set: each
    # example once. The shards stay the same.
    config.mixture = ConfigDict(
        {
            "weights": None,  # relative shares of an epoch's examples; of every source, 0 leaves it out
            "examples": 0,  # of an epoch by weights; 0: as many as there can be before one comes twice
            "counts": None,  # or examples an epoch
            "epochs": None,  # or how often each comes in an epoch, such as 2 or 0.5
            "caps": None,  # at most so many questions, with all their responses
        }
    )
    config.student = ConfigDict(
        {
            # A Hugging Face folder to start from; empty: random weights at the size below, and a vocabulary of its own.
            "base": "",
            "vocab_size": 1024,
            "text": {
                "hidden_size": 96,
                "intermediate_size": 256,
                "num_hidden_layers": 3,
                "num_attention_heads": 3,
                "num_key_value_heads": 1,
                "rope_theta": 1000000.0,
                "rms_norm_eps": 1e-6,
                "mrope_section": (4, 6, 6),
                "tie_word_embeddings": True,
            },
            "vision": {
                "depth": 3,
                "hidden_size": 96,
                "intermediate_size": 256,
                "num_heads": 3,
                "window_size": 56,
                "fullatt_block_indexes": (2,),
            },
        }
    )
    config.shard = ConfigDict({"max_pixels": 12544, "min_pixels": 3136, "bytes": 256 * 2**20})  # bytes: of a file
    config.train = ConfigDict(
        {
            "steps": 2000,
            "epochs": 0.0,  # or how often the data is seen, with steps = 0; 0: steps count
            "seed": None,  # of the order of the data and of random weights; None: the config's seed
            "examples_per_step": 10,  # the paper: 512
            "tokens_per_row": 288,
            "rows": "apart",  # of examples with and without images; or together, which fills few rows better
            "rows_at_once": 0,  # that a device computes at once; a step's others wait. 0: all
            "patches_per_row": 192,  # 0: what the data bring along for a full row of tokens
            "peak_learning_rate": 2e-3,  # the paper: 5e-5 on a pretrained student
            "warmup_ratio": 0.02,
            "schedule": "cosine",
            "rates": {"vision": 1.0, "merger": 1.0, "text": 1.0},  # factors of the learning rate of each part
            "weight_decay": 0.05,
            "adam_b1": 0.9,
            "adam_b2": 0.98,
            "clip_norm": 1.0,
            "moments": "float32",  # of Adam's first moment; the second is always float32
            "dtype": "float32",
            "remat": "full",  # what is kept of each layer for its gradient; on a CPU this is also the fastest way
            "attention": "auto",  # the kernel of the devices at hand
            "trained": ("vision", "merger", "text"),
            # Adapters of the language model; 0: none. With a rank, leave "text" out of what is trained.
            "lora": {"rank": 0, "alpha": 32.0, "targets": ("q", "k", "v", "o", "gate", "up", "down")},
            "mesh": {"data": 1, "fsdp": -1, "sequence": 1, "tensor": 1},
            "loader_workers": 0,
            "bad_records": "stop",  # or skip: leave the place of one that cannot be read empty, and list it
            "wandb": "",  # project of Weights & Biases; empty: none
            # Updates in a row that may be skipped as not finite; a loss that stands out by so many robust standard
            # deviations is named; seconds after which a step is given up, and the first one, which compiles; seconds
            # in which all processes of a job must have come.
            "guards": {
                "most_skipped": 10,
                "spike_deviations": 8.0,
                "step_seconds": 1800.0,
                "first_step_seconds": 3600.0,
                "census_seconds": 110.0,
            },
        }
    )
    # So many records are not trained on; every so many steps (0: never) the student's loss on them is measured, and
    # its answers to some of them are written down.
    config.held_out = ConfigDict({"records": 0, "every": 0, "samples": 2, "max_new_tokens": 96})
    # The newest are kept, and every keep_every-th step (0: none). The run's equal parts, so many (0: none), are saved
    # where they end too, and kept.
    config.checkpoint = ConfigDict({"every": 300, "keep": 2, "keep_every": 0, "parts": 0})
    # Every field, what it means and the paper's value: EVAL in octomed_jax/evaluation/protocol.py. Here greedy, once,
    # and short.
    config.eval = ConfigDict(
        {
            **EVAL,
            "temperature": 0.0,
            "top_p": 1.0,
            "seeds": 1,
            "max_new_tokens": 96,
            "force_end_of_thinking": False,
            "batch": 100,
        }
    )
    config.export = ConfigDict(
        {
            "dtype": "float32",
            "max_shard_gb": 5.0,  # the size that others use
            # How an export is checked; vllm is a level too, where its command is installed.
            "verify": ("structure", "roundtrip", *(("transformers",) if find_spec("torch") else ())),
        }
    )
    if arg == "tiny":
        config.questions.brain.update({"plane": 24, "side": 8, "lobe": 12, "test_each": 6})
        config.questions.medcalc.update({"train_each": 6, "score_train_each": 6, "test_each": 3})
        config.questions.icd10.update({"train": 12, "test": 6})
        config.questions.dicom.views_each = 1
        config.questions.medmcqa_sample.test = 6
        config.train.update({"steps": 8, "warmup_ratio": 0.25})
        config.checkpoint.every = 3
        config.eval.update({"max_new_tokens": 12, "batch": 16})
        config.shard.bytes = 400_000
    return config
