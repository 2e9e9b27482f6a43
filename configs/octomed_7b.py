"""The paper's student, Qwen2.5-VL-7B-Instruct, with the paper's schedule (arXiv 2511.23269, section on training).

From the paper: no question to learn from that shares 16 words or an image with a held-out one; balanced classes (their
sizes are unknown: here all are as the rarest); 16 attempts a question, up to 16 accepted traces, three epochs of
8,095,571 examples at a batch of 512 (47,435 steps, derived), a peak learning rate of 5e-5, a cosine with 10 % warm-up,
images of at most 262,144 pixels, sampling at temperature 0.6 and top-p 0.95 with at most 8,192 tokens and five seeds; a
teacher for text (DeepSeek-R1) and one for images (GPT-4o; here an open model, which may be shown credentialed questions
on machines of one's own).
Ours, because the paper does not say: AdamW, row sizes, weight decay, betas, clipping, checkpoints. The sources are
still the demo's: those of the paper come with their adapters. ``student.base`` is what
``octomed import --model=Qwen/Qwen2.5-VL-7B-Instruct --output=models/qwen2_5_vl_7b`` writes.
"""

from ml_collections import ConfigDict

from configs.demo import get_config as demo_config
from octomed_jax.evaluation.protocol import EVAL


def get_config() -> ConfigDict:
    """Return the config of the full-size student."""
    config = demo_config().lock()  # locked: a field that the demo has not would be a mistake here
    config.name = "octomed_7b"
    config.run = "runs/octomed_7b"
    config.curate.steps = ("decontaminate", "balance", "transform")
    # Benchmarks that are not learnt from, each a folder that `octomed questions build` wrote, such as:
    # config.curate.against = {"medxpertqa": {"folder": "runs/medxpertqa/questions", "split": "test"}}
    config.distill.update({"samples": 16, "samples_per_request": 4, "max_tokens": 8192})
    base = config.distill.teachers.teacher.to_dict()
    with config.unlocked():
        config.distill.teachers = ConfigDict(
            {
                "text": {
                    **base,
                    "takes": "text",
                    "model": "deepseek-ai/DeepSeek-R1",
                    "endpoints": ("http://localhost:8000",),
                    "terms": "MIT; its outputs may be used to train other models",
                },
                "images": {
                    **base,
                    "takes": "images",
                    "model": "Qwen/Qwen2.5-VL-72B-Instruct",
                    "endpoints": ("http://localhost:8001",),
                    "terms": "Qwen licence; look at its clause on outputs before a release",
                },
            }
        )
    config.traces.per_question = 16  # and the rest as in demo.py: CoT, as the teacher wrote it
    config.student.base = "models/qwen2_5_vl_7b"
    # The published sizes, for a preview before the model is there; training reads those of the model.
    config.student.vocab_size = 152064
    config.student.text.update(
        {
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "mrope_section": (16, 24, 24),
            "tie_word_embeddings": False,
        }
    )
    config.student.vision.update(
        {
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "window_size": 112,
            "fullatt_block_indexes": (7, 15, 23, 31),
        }
    )
    config.shard.max_pixels = 262144
    config.train.update(
        {
            "steps": 47435,
            "warmup_ratio": 0.1,
            "peak_learning_rate": 5e-5,
            "weight_decay": 0.0,
            "adam_b2": 0.999,
            "examples_per_step": 512,
            # The longest response of the paper's evaluation; a mean example has some 1,000 tokens with its images.
            "tokens_per_row": 8192,
            "rows": "together",  # 68 of a step, where 69 apart would each be rounded up to the devices: less to fill up
            "patches_per_row": 0,  # what the data bring along
            "dtype": "bfloat16",
            "remat": "full",
            "rows_at_once": 1,  # of each device; its activations are what one row takes
            "loader_workers": 8,  # processes of each host
        }
    )
    config.checkpoint.every = 500
    config.eval = ConfigDict({**EVAL, "batch": 100})
    config.export.update({"dtype": "bfloat16", "verify": ("structure", "roundtrip")})
    return config
