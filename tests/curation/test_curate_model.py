"""Steps in any order take out what a model of them in plain Python takes out, on small folders drawn at random."""

import hashlib
import itertools
import re
import tempfile
from collections import Counter
from pathlib import Path

from curation_helpers import curated, held, make, make_config, text, words, write_attempts, write_folder
from hypothesis import given, settings
from hypothesis import strategies as st

NGRAM, SAMPLES, FEWEST, MOST, RATIO, SEED = 13, 4, 1, 3, 1.5, 3
STEPS = ("decontaminate", "deduplicate", "balance", "metadata", "difficulty")
LONG = [text(f"long {number}", 60) for number in range(3)]
SHORT = [text(f"short {number}", 10) for number in range(2)]


def plain(text):
    return tuple(re.findall(r"[a-z0-9]+", text.lower()))


def runs(words, count):
    return {words[at : at + count] for at in range(len(words) - count + 1)}


def together(question):
    return sum(map(plain, question.options), plain(question.question))


def decontaminate(questions, held_out, _right):
    bare = [one for one in held_out if not one.images]
    known = set().union(*(runs(together(one), NGRAM) for one in bare))
    wholes = {form(one) for one in bare for form in (together, lambda one: plain(one.question))}
    images = {image for one in held_out for image in one.image_hashes}

    def goes(one):
        if runs(together(one), NGRAM) & known or set(one.image_hashes) & images:
            return True
        mine = (plain(one.question), together(one))
        return not one.images and any(8 <= len(form) < NGRAM and form in wholes for form in mine)

    return [one for one in questions if not goes(one)]


def shingles(question):
    parts = [plain(question.question), *map(plain, question.options)]
    return set().union(*(runs(part, 5) or {part} for part in parts))


def guard(question):
    numbers = Counter(word for word in together(question) if re.search(r"\d", word))
    return question.image_hashes, plain(question.answer), frozenset(numbers.items())


def deduplicate(questions, _held_out, _right):
    first, staying = set(), []
    for one in questions:
        key = plain(one.question), tuple(sorted(map(plain, one.options))), one.image_hashes
        if key not in first:
            staying.append(one)
        first.add(key)
    group = list(range(len(staying)))
    for low, high in itertools.combinations(range(len(staying)), 2):
        one, other = staying[low], staying[high]
        mine, theirs = shingles(one), shingles(other)
        if guard(one) == guard(other) and len(mine & theirs) >= 0.8 * len(mine | theirs):
            old, new = sorted((group[low], group[high]))
            group = [old if number == new else number for number in group]
    return [one for place, one in enumerate(staying) if group[place] == place]


def balance(questions, _held_out, _right):
    classes = {}
    for one in questions:
        if one.task == "yes_no":
            classes.setdefault((one.source, one.benchmark), {}).setdefault(one.answer, []).append(one.id)
    gone = set()
    for answers in classes.values():
        most = int(min(map(len, answers.values())) * RATIO)
        for ids in answers.values() if len(answers) > 1 else ():
            drawn = sorted(ids, key=lambda one: hashlib.sha256(f"balance|{SEED}|{one}".encode()).hexdigest())
            gone |= set(drawn[most:])
    return [one for one in questions if one.id not in gone]


def metadata(questions, _held_out, _right):
    return questions


def difficulty(questions, _held_out, right):
    return [one for one in questions if FEWEST <= right[one.id] <= MOST]


MODEL = {
    "decontaminate": decontaminate, "deduplicate": deduplicate, "balance": balance, "metadata": metadata,
    "difficulty": difficulty,
}  # fmt: skip


def spelt(text, how):
    return (text, text.upper(), text.replace(" ", ", "), f"({text})")[how]


def changed(text, place):
    """Return a text with other words at its end: none, one (nearly the same) or many."""
    parts = text.split()
    return " ".join([*parts[: len(parts) - place], *words(place, place)])


questions = st.builds(
    lambda base, cut, how, options, answer, image, kind: {
        "question": spelt(changed(base, cut), how),
        "options": options if kind == "mcq" else (),
        "answer": answer,
        "images": (image,) if image else (),
        "task": kind,
        "benchmark": kind,
    },
    st.sampled_from(LONG + SHORT),
    st.sampled_from([0, 0, 1, 20]),
    st.integers(0, 3),
    st.sampled_from([("liver", "5 mg"), ("5 mg", "liver"), ("liver", "6 mg"), (SHORT[1], "liver")]),
    st.sampled_from(["yes", "no"]),
    st.sampled_from([0, 0, 0, 1, 2]),
    st.sampled_from(["mcq", "yes_no", "short_answer"]),
)


@settings(max_examples=40)
@given(
    mine=st.lists(questions, min_size=2, max_size=25),
    theirs=st.lists(questions, max_size=3),
    cut=st.integers(0, 25),
    right=st.lists(st.integers(0, SAMPLES), min_size=25, max_size=25),
    order=st.permutations(STEPS),
    row_group=st.sampled_from([1, 3, 100]),
)
def test_steps_take_out_what_plain_python_takes_out(mine, theirs, cut, right, order, row_group):
    made = [make(f"{number:03d}", **fields) for number, fields in enumerate(mine)]
    made.append(make("stays", text("stays")))  # so that something is left
    held_out = [held(f"held {number}", **fields) for number, fields in enumerate(theirs)]
    counts = {one.id: number for one, number in zip(made, [*right, SAMPLES // 2], strict=False)}
    counts["made:stays"] = SAMPLES // 2
    expected, steps = [*made[cut:], *made[:cut]], []  # the second half of them in the first folder
    for name in order:
        before = len(expected)
        expected = MODEL[name](expected, held_out, counts)
        steps.append((name, before, len(expected)))
    config = make_config(
        order,
        SEED,
        decontaminate={"ngram": NGRAM},
        balance={"ratio": RATIO},
        difficulty={"samples": SAMPLES, "fewest": FEWEST, "most": MOST},
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folders = [
            write_folder(folder / "first", [*made[cut:], *held_out], row_group),
            write_folder(folder / "second", made[:cut], row_group),
        ]
        attempts = write_attempts(folder / "attempts", counts, SAMPLES)
        left, gone, manifest = curated(folder / "out", folders, config, attempts=attempts)
    assert list(left) == sorted(one.id for one in expected)
    assert [(step["step"], step["before"], step["after"]) for step in manifest.counts["steps"]] == steps
    assert left.keys() | gone.keys() == {one.id for one in made}
    assert not left.keys() & gone.keys()


def test_each_step_runs_before_and_after_each_other(tmp_path):
    made = [
        make(f"{number}", text(number // 2), task="yes_no", answer=["yes", "no", "no"][number % 3])
        for number in range(12)
    ]
    folder = write_folder(tmp_path / "questions", made)
    attempts = write_attempts(tmp_path / "attempts", {one.id: 8 for one in made})
    found = set()
    turned = [STEPS[at:] + STEPS[:at] for at in range(len(STEPS))]
    for number, order in enumerate([*turned, *(order[::-1] for order in turned)]):
        config = make_config(order)
        left, _, manifest = curated(tmp_path / f"{number}", folder, config, attempts=attempts)
        assert [step["step"] for step in manifest.counts["steps"]] == list(order)
        found.add(tuple(left))
    assert len(found) > 1  # balance before and after deduplication are two things
