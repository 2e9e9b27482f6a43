"""The cases on which the student is held to transformers: its shapes, and prompts with images of every kind."""

from octomed_jax.inputs.rows import Bucket
from tests.models.student import config, example

BUCKET = Bucket("image", 640, 256)
SIZES = {
    "one image, sides divisible by the window": [(112, 224)],
    "sides not divisible": [(308, 196)],
    "one row of cells": [(30, 500)],
    "extreme aspect": [(28, 1568)],
    "four images": [(56, 84), (112, 112), (140, 56), (28, 28)],
}
ASKED = {name: ("Which plane?", sizes, "axial") for name, sizes in SIZES.items()} | {
    "600 tokens": ("finding of the study " * 42, [(84, 56)], "axial"),
    "text only": ("no image here", [], "coronal"),
}
CASES = {name: example(*asked) for name, asked in ASKED.items()}
PROMPTS = {name: example(text, sizes) for name, (text, sizes, _) in ASKED.items()}
MODELS = {
    "untied, as 7B": config(),
    "tied, as 3B": config(tied=True),
    "five heads over one": config(heads=5, kv_heads=1, fullatt=(0, 3)),
}
