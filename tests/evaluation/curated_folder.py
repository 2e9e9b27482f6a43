"""Curates small questions with everything planted that a step takes out, for the tests of the report of it."""

import dataclasses
from pathlib import Path

from ml_collections import ConfigDict
from questions_folder import make_questions
from report_run import PLANTED, picture

from octomed_jax.curation.curate import curate
from octomed_jax.curation.settings import defaults
from octomed_jax.schema import Question
from octomed_jax.storage import sha256_bytes

LONG = "a man of forty five has had chest pain for two days, and it gets worse whenever he lies down flat"
ELSEWHERE = "which of these drugs should never be given together with one another to a child below the age of six"
STEPS = ("decontaminate", "deduplicate", "balance", "metadata")
SUBJECTS = (
    "gallstones", "anaemia", "malaria", "scurvy", "gout", "asthma", "measles", "rickets", "mumps", "tetanus",
)  # fmt: skip


def question(name: str, text: str, **fields: object) -> Question:
    """Return an open multiple-choice question; ``name`` is ``<source>:<benchmark>:<...>``."""
    source, benchmark, _ = name.split(":")
    images = fields.pop("images", ())
    assert isinstance(images, tuple)
    given = {
        "source": source,
        "benchmark": benchmark,
        "split": "train",
        "task": "mcq",
        "options": ("heart", "lung", "liver"),
        "answer": "lung",
        "licence": "MIT",
        **fields,
    }
    return Question(id=name, question=text, images=images, image_hashes=tuple(map(sha256_bytes, images)), **given)


def planted() -> list[Question]:
    """Return 26 questions to learn from, of which the steps take out ten, and four held out; one of each is closed."""
    shared, mine = picture(1), picture(2)
    long_options = ("pain in the chest on lying flat", "pain in the back on bending over", "no pain at all anywhere")
    held_out = [
        question("exam:cases:0001", f"In clinic {LONG.upper()}. What is it?{PLANTED}", licence=PLANTED),
        question("exam:choices:0001", "Name one?", options=long_options, answer="no pain at all anywhere"),
        question("scans:organs:0001", "Which organ is seen here?", images=(shared,)),
        question("wards:notes:0001", "Fever, cough, and a rash on both of her lower legs?", options=(), answer="typhus",
                 task="short_answer", access="credentialed"),
    ]  # fmt: skip
    return [
        *(dataclasses.replace(one, split="test") for one in held_out),
        question("books:cases:0001", f"Here, {LONG}?{PLANTED}", source=f"books {PLANTED}", benchmark=PLANTED,
                 options=("heart", PLANTED), answer=PLANTED),
        question("books:cases:0002", f"Once more {LONG}!"),
        question("books:choices:0003", "Choose what fits", options=long_options, answer="no pain at all anywhere"),
        question("wards:notes:0003", "fever cough and a rash on both of her lower legs", options=(),
                 answer="typhus", task="short_answer", access="credentialed"),
        question("scans:organs:0003", "What is that?", images=(shared, mine)),
        question("books:cases:0003", f"Say {ELSEWHERE}?"),
        question("books:same:0001", "Which disease comes of a lack of vitamin C, as sailors had it?"),
        question("books:same:0002", "Which disease comes of a lack of vitamin C (as sailors had it)?"),
        question("books:same:0003", "Which disease comes of a lack of vitamin C, as sailors had it?", answer="liver"),
        *(question(f"scans:ct:000{number}", f"Is there {what} in this CT scan of the lung?", task="yes_no",
                   options=("yes", "no"), answer="no" if number == 3 else "yes", images=(picture(10 + number),))
          for number, what in enumerate(SUBJECTS[:4])),
        *(question(f"scans:mri:000{number}", f"Where is {what} in this MRI of the brain?", options=("left", "right"),
                   answer="left", modality="MRI" if number == 0 else "", images=(picture(20 + number),))
          for number, what in enumerate(SUBJECTS[4:7])),
        *(question(f"books:plain:000{number}", f"What treats {what}?") for number, what in enumerate(SUBJECTS)),
    ]  # fmt: skip


def make_curated(folder: Path, given: list[Question] | None = None, **settings: object) -> Path:
    """Curate ``folder/questions`` against ``folder/against`` into ``folder/curated``, and return that."""
    make_questions(folder / "questions", sorted(planted() if given is None else given, key=lambda one: one.id))
    other = question("elsewhere:cases:0001", f"Tell {ELSEWHERE}!", split="test")
    make_questions(folder / "against", [other])
    config = ConfigDict({"seed": 0, "curate": defaults()})
    config.curate.update({"steps": STEPS, **settings})
    against = [folder / "against"] if "decontaminate" in config.curate.steps else []
    curate(config, [folder / "questions"], folder / "curated", against, workers=1)
    return folder / "curated"
