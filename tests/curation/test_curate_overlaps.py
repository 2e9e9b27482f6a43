"""Planted overlaps and duplicates of every kind go, for the reason that is planted; what is clean stays."""

import pytest
from curation_helpers import curated, folder_bytes, held, make, make_config, reasons, text, words, write_folder
from curation_images import patient, png
from curation_images import shown as show_image

from octomed_jax.evaluation.curated_report import write_curated_report
from octomed_jax.schema import QUESTION_SCHEMA
from octomed_jax.traces import lake

RUN = words("run", 40)


def shown(of, expected):
    """Print and return recall and precision of what went (``of``) by what was planted, names that are in it."""
    right = len(of & expected)
    recall, precision = right / len(expected), right / len(of)
    print(f"planted {len(expected)}, taken out {len(of)}: recall {recall:.3f}, precision {precision:.3f}")
    return recall, precision


OVERLAPS = {
    # name: question, options, the reason for which it goes or None
    "same": (" ".join(RUN), (), "words"),
    "sixteen words": (f"{text(1, 20)} {' '.join(RUN[4:20])} {text(2, 20)}", (), "words"),
    "fifteen words": (f"{text(3, 20)} {' '.join(RUN[4:19])} {text(4, 20)}", (), None),
    "case": (" ".join(RUN).upper(), (), "words"),
    "punctuation": (", ".join(RUN) + "?!", (), "words"),
    "lines": ("\n".join(RUN), (), "words"),
    "unicode spaces": ("\u00a0".join(RUN), (), "words"),
    "full-width letters": (
        "".join(chr(ord(one) + 0xFEE0) if one != " " else one for one in " ".join(RUN)),
        (),
        "words",
    ),
    "accents": (" ".join(RUN).replace("e", "e\u0301"), (), "words"),
    "curly quotes": ("\u201c" + "\u2019 \u2018".join(RUN) + "\u201d", (), "words"),
    "into the options": (" ".join(RUN[:12]), (" ".join(RUN[12:30]), text(5, 2)), "words_with_options"),
    "in an option": (text(6), (text(7, 3), " ".join(RUN[:17])), "words_with_options"),
    "a word changed": (" ".join([*RUN[:15], "other", *RUN[16:31]]), (), None),
    "another order": (" ".join(RUN[::-1]), (), None),
    "clean": (text(8, 60), (), None),
    "clean with options": (text(9, 60), (text(10, 5), text(11, 5)), None),
    "short": ("What is shown?", ("Nothing", "All"), None),
    "whole": ("Which enzyme of the liver makes urea out of ammonia, mostly?", (), "text"),
    "whole but for a word": ("Which enzyme of the kidney makes urea out of ammonia, mostly?", (), None),
    "number changed": ("A child of 8 years with " + " ".join(words("case", 11)) + " now", (), None),
}
HELD_OUT = [
    held("1", " ".join(RUN), options=("no", "yes")),
    held("2", "which enzyme of the liver makes urea out of ammonia mostly"),
    held("3", "A child of 9 years with " + " ".join(words("case", 11)) + " now"),
    held("4", "What is shown?", options=("Nothing", "All")),
]


def test_words_shared_with_held_out_questions(tmp_path):
    questions = [
        make(name, question, options=options, answer=f"answer {name}")
        for name, (question, options, _) in OVERLAPS.items()
    ]
    folder = write_folder(tmp_path / "questions", [*questions, *HELD_OUT])
    left, gone, manifest = curated(tmp_path / "out", folder, make_config(["decontaminate"]))
    planted = {name: reason for name, (_, _, reason) in OVERLAPS.items() if reason}
    assert shown(set(reasons(gone)), set(planted)) == (1, 1)
    assert reasons(gone) == planted
    assert left.keys() == {f"made:{name}" for name in OVERLAPS.keys() - planted.keys()}
    assert {row["match"] for row in gone.values()} == {"made:1", "made:2"}
    step = manifest.counts["steps"][0]
    assert (step["before"], step["removed"], step["after"]) == (len(OVERLAPS), len(planted), len(left))
    assert sum(step["reasons"].values()) == len(planted)
    assert manifest.counts["test"] == 4
    detail = gone["made:sixteen words"]["detail"]
    assert detail == " ".join(RUN[4:20])


@pytest.mark.parametrize("ngram", [8, 13, 16])
def test_the_length_of_a_run_is_the_config_s(tmp_path, ngram):
    questions = [make(f"{count:02d}", f"{text(count)} {' '.join(RUN[:count])}") for count in range(6, 18)]
    folder = write_folder(tmp_path / "questions", [*questions, *HELD_OUT])
    config = make_config(["decontaminate"], decontaminate={"ngram": ngram})
    left, _, _ = curated(tmp_path / "out", folder, config)
    assert sorted(left) == [f"made:{count:02d}" for count in range(6, ngram)]


def test_held_out_questions_with_images_count_only_where_the_config_says_so(tmp_path):
    questions = [make("run", " ".join(RUN)), make("other", text(1))]
    folder = write_folder(tmp_path / "questions", [*questions, held("1", " ".join(RUN), images=[1])])
    _, gone, _ = curated(tmp_path / "text", folder, make_config(["decontaminate"]))
    assert not gone
    config = make_config(["decontaminate"], decontaminate={"held_out": "all"})
    _, gone, _ = curated(tmp_path / "all", folder, config)
    assert reasons(gone) == {"run": "words"}


@pytest.mark.parametrize(("ours", "theirs", "reason"), [((), (), "text"), ((1,), (), None), ((), (2,), None)])
def test_a_short_question_counts_as_a_whole_only_without_images(tmp_path, ours, theirs, reason):
    question = "Which organ is the one shown in this picture?"
    questions = [make("short", question, images=ours), make("other", text(1)), held("1", question, images=theirs)]
    config = make_config(["decontaminate"], decontaminate={"held_out": "all"})
    _, gone, _ = curated(tmp_path / "out", write_folder(tmp_path / "questions", questions), config)
    assert reasons(gone) == ({"short": reason} if reason else {})


def test_of_two_equal_held_out_texts_the_one_without_images_counts(tmp_path):
    question = "Which organ is the one shown in this picture?"
    questions = [make("short", question), make("other", text(1)), held("1", question, images=[1]), held("2", question)]
    config = make_config(["decontaminate"], decontaminate={"held_out": "all"})
    _, gone, _ = curated(tmp_path / "out", write_folder(tmp_path / "questions", questions), config)
    assert gone["made:short"]["match"] == "made:2"


LONG = ("slow release morphine sulphate", "transdermal fentanyl patch", "oral oxycodone solution", "none")
# name: question, options, images, the reason for which it goes or None; held out are "Best drug?" and "And this one?".
SHORT_STEMS = {
    "as it is": ("Best drug?", LONG, (), "text_with_options"),
    "options in another order": ("Best drug?", LONG[::-1], (), "same_question"),
    "spelt otherwise": ("BEST drug", tuple(f"({one.upper()})" for one in LONG[::-1]), (), "same_question"),
    "an option other": ("Best drug?", (*LONG[:0:-1], "codeine"), (), None),
    "an option less": ("Best drug?", LONG[:0:-1], (), None),
    "a number": ("Best drug?", (*LONG[:0:-1], "2 " + LONG[0]), (), None),
    "an image more": ("Best drug?", LONG[::-1], (1,), None),
    "the image": ("And this one?", LONG[::-1], (7,), "same_question"),
    "without the image": ("And this one?", LONG[::-1], (), None),
    "another image": ("And this one?", LONG[::-1], (8,), None),
    "too short": ("Which?", ("left", "right", "both"), (), None),
}


@pytest.mark.parametrize("which", ["text", "all"])
def test_a_question_is_the_same_with_its_options_in_any_order_and_the_same_images(tmp_path, which):
    questions = [
        make(name, question, options=options, images=images, answer=options[0], source="vqa-rad")
        for name, (question, options, images, _) in SHORT_STEMS.items()
    ]
    theirs = [
        held("0", text(0)),
        held("1", "Best drug?", options=LONG),
        held("2", "Best drug?", options=LONG),
        held("3", "And this one?", options=LONG, images=[7], source="vqa-rad"),
        held("4", "Which?", options=("both", "right", "left")),
    ]
    folder = write_folder(tmp_path / "questions", [*questions, *theirs], row_group=2)
    config = make_config(["decontaminate"], decontaminate={"held_out": which, "keep_shared_images": ("vqa-rad",)})
    _, gone, manifest = curated(tmp_path / "out", folder, config)
    assert reasons(gone) == {name: reason for name, (*_, reason) in SHORT_STEMS.items() if reason}
    matches = {name.removeprefix("made:"): row["match"] for name, row in gone.items()}
    assert matches.pop("the image") == "made:3"
    assert set(matches.values()) == {"made:1"}
    assert {row["match_set"] for row in gone.values()} == {"held out"}
    assert manifest.counts["steps"][0]["matched"]["held out"] == {"removed": 4, "held_out": 2, "of": 5}
    assert "a held-out question with the same options in any order" in (tmp_path / "out" / "card.md").read_text()
    assert "same question" in write_curated_report(tmp_path / "out").read_text()


def test_a_whole_question_goes_though_its_runs_are_too_common_to_count(tmp_path):
    template, options = text("template", 20), ("one of two", "two of two")
    some = [make(f"{number}", f"{template} {text(number, 3)}") for number in range(5)]
    folder = write_folder(
        tmp_path / "questions",
        [*some, make("whole", template, options=options), held("1", template, options=options[::-1])],
    )
    config = make_config(["decontaminate"], decontaminate={"ignore_common": 5})
    assert reasons(curated(tmp_path / "out", folder, config)[1]) == {"whole": "same_question"}


def test_an_image_that_was_changed_before_is_the_same_image(tmp_path):
    image = png(patient(1, side=96))
    ours = show_image(make("short", "Best drug?", options=LONG[::-1], source="vqa-rad"), image)
    theirs = held("1", "Best drug?", options=LONG, source="vqa-rad")
    folder = write_folder(tmp_path / "questions", [ours, make("other", text(1)), show_image(theirs, image)])
    before = make_config(["transform"], transform={"max_pixels": 56 * 56})
    left, _, _ = curated(tmp_path / "smaller", folder, before)
    assert left["made:short"].images[0] != image
    config = make_config(["decontaminate"], decontaminate={"keep_shared_images": ("vqa-rad",)})
    assert reasons(curated(tmp_path / "out", tmp_path / "smaller", config)[1]) == {"short": "same_question"}


def test_images_are_the_same_by_their_bytes(tmp_path):
    questions = [
        make("shared", text(1), images=[1]),
        make("second", text(2), images=[9, 2]),
        make("own", text(3), images=[3]),
        make("words too", " ".join(RUN), images=[1]),
        make("kept", text(4), images=[4], source="vqa-rad"),
        make("kept not", " ".join(RUN), images=[4], source="vqa-rad"),
        make("none", text(5)),
        *HELD_OUT,
        held("5", text(6), images=[1]),
        held("6", text(7), images=[8, 2]),
        held("7", text(8), images=[4], source="vqa-rad", benchmark="vqa-rad-open"),
    ]
    folder = write_folder(tmp_path / "questions", questions)
    _, gone, manifest = curated(tmp_path / "out", folder, make_config(["decontaminate"]))
    both = {"shared": "image_bytes", "second": "image_bytes", "words too": "words", "kept not": "words"}
    assert reasons(gone) == {**both, "kept": "image_bytes"}
    assert (gone["made:shared"]["match"], gone["made:second"]["match"]) == ("made:5", "made:6")
    assert "shared_images_kept" not in manifest.counts["steps"][0]
    config = make_config(["decontaminate"], decontaminate={"keep_shared_images": ("vqa-rad",)})
    left, gone, manifest = curated(tmp_path / "keeping", folder, config)
    assert reasons(gone) == both
    assert "made:kept" in left
    assert manifest.counts["steps"][0]["shared_images_kept"] == 1
    assert "Left in: 1 (" in (tmp_path / "keeping" / "card.md").read_text()
    config = make_config(["decontaminate"], decontaminate={"images": ()})
    assert reasons(curated(tmp_path / "words", folder, config)[1]) == {"words too": "words", "kept not": "words"}


@pytest.mark.parametrize("kinds", [("bytes",), ("pixels",), ("near",), ("bytes", "pixels", "near")])
def test_a_source_keeps_only_images_that_its_own_splits_share(tmp_path, kinds):
    """Not those of another benchmark's held-out questions, whichever of the two comes first, or has the other image."""
    keeping = {"source": "vqa-rad"}
    questions = [
        make("own", text(1), images=[1], **keeping),
        make("of another", text(2), images=[2], **keeping),
        make("of both", text(3), images=[3], **keeping),
        make("one of each", text(4), images=[1, 2], **keeping),
        make("of a third", text(5), images=[4], source="third"),
        make("second source", text(6), images=[4], source="slake"),
        make("second source's other", text(7), images=[1], source="slake"),
        make("clean", text(8), images=[9]),
        held("a", text(11), images=[1, 3], **keeping),
        held("b", text(12), images=[2, 3]),
        held("c", text(13), images=[4], source="slake"),
        held("d", text(14), images=[3], **keeping),
    ]
    folder = write_folder(tmp_path / "questions", questions)
    config = make_config(["decontaminate"], decontaminate={"keep_shared_images": ("vqa-rad", "slake"), "images": kinds})
    left, gone, manifest = curated(tmp_path / "out", folder, config)
    assert set(left) == {"made:own", "made:second source", "made:clean"}
    matches = {name.removeprefix("made:"): row["match"].removeprefix("made:") for name, row in gone.items()}
    assert matches == {
        "of another": "b",
        "of both": "b",
        "one of each": "b",
        "of a third": "c",
        "second source's other": "a",
    }
    assert {row["reason"] for row in gone.values()} == {f"image_{kinds[0]}"}
    assert manifest.counts["steps"][0]["shared_images_kept"] == 2


OPTIONS = ("liver cell", "kidney", "5 mg")
CASE = words("case", 90)


def changed(place, word):
    return " ".join([*CASE[:place], word, *CASE[place + 1 :]])


# name: question, fields, the reason for which it goes or None; each is compared with "0 first".
DUPLICATES = {
    "0 first": (" ".join(CASE), {}, None),
    "case": (" ".join(CASE).upper(), {}, "same"),
    "punctuation": (". ".join(CASE) + "?", {}, "same"),
    "unicode": ("\u2003".join(CASE).replace("e", "\u00e9"), {}, "same"),
    "answer spelt otherwise": (" ".join(CASE), {"answer": "Aspirin."}, "same"),
    "order of options": (" ".join(CASE), {"options": OPTIONS[::-1]}, "same"),
    "letters of options": (" ".join(CASE), {"options": ("Liver-Cell", "KIDNEY", "5 mg.")}, "same"),
    "other answer": (" ".join(CASE), {"answer": "heparin"}, "same_with_other_answer"),
    "other source": (" ".join(CASE), {"source": "other", "benchmark": "other", "explanation": "So."}, "same"),
    "one word": (changed(3, "else"), {}, "near"),
    "word more": (" ".join(CASE) + " today", {}, "near"),
    "word less": (" ".join(CASE[:-1]), {"options": OPTIONS[1:] + OPTIONS[:1]}, "near"),
    "one word, other answer": (changed(80, "unlike"), {"answer": "heparin"}, None),
    "one number": (changed(3, "57"), {}, None),
    "other number": (changed(3, "58"), {}, None),
    "one option": (" ".join(CASE), {"options": ("liver cell", "kidney", "6 mg")}, None),
    "one option less": (" ".join(CASE), {"options": OPTIONS[:2]}, None),
    "sign": (" ".join(CASE) + "+", {}, None),
    "with an image": (" ".join(CASE), {"images": [1]}, None),
    "with another image": (" ".join(CASE), {"images": [2]}, None),
    "with two images": (" ".join(CASE), {"images": [1, 2]}, None),
    "with two images, turned": (" ".join(CASE), {"images": [2, 1]}, None),
    "with the same image": (" ".join(CASE), {"images": [1], "options": OPTIONS[::-1]}, "same"),
    "with the image, a word": (changed(3, "else"), {"images": [2]}, "near"),
    "half": (" ".join(CASE[:45]), {}, None),
    "clean": (text("clean", 90), {}, None),
}


def duplicates():
    return [make(name, question, **{"options": OPTIONS, **more}) for name, (question, more, _) in DUPLICATES.items()]


def test_duplicates(tmp_path):
    folder = write_folder(tmp_path / "questions", duplicates())
    _, gone, _ = curated(tmp_path / "out", folder, make_config(["deduplicate"]))
    planted = {name: reason for name, (_, _, reason) in DUPLICATES.items() if reason}
    assert shown(set(reasons(gone)), set(planted)) == (1, 1)
    assert reasons(gone) == planted
    first = {"with the same image": "with an image", "with the image, a word": "with another image"}
    assert {name.removeprefix("made:"): row["match"] for name, row in gone.items()} == {
        name: f"made:{first.get(name, '0 first')}" for name in planted
    }
    assert gone["made:one word"]["detail"] == "Jaccard 0.91"  # 85 of 93 runs of five words and short options


def test_near_duplicates_can_be_left_in_and_asked_for_more_closely(tmp_path):
    folder = write_folder(tmp_path / "questions", duplicates())
    _, gone, _ = curated(tmp_path / "exact", folder, make_config(["deduplicate"], deduplicate={"near": False}))
    assert "near" not in reasons(gone).values()
    assert len(gone) == sum(str(reason).startswith("same") for _, _, reason in DUPLICATES.values())
    _, gone, _ = curated(tmp_path / "close", folder, make_config(["deduplicate"], deduplicate={"threshold": 0.95}))
    assert {name for name, reason in reasons(gone).items() if reason == "near"} == {"word more", "word less"}


def test_of_several_folders_the_first_one_stays_whatever_its_ids(tmp_path):
    one, other = (
        write_folder(
            tmp_path / name,
            [make(f"{name}{index}", text(index)) for index in range(3)] + [held(f"{name} held", text(f"{name} held"))],
        )
        for name in ("a", "b")
    )
    left, gone, manifest = curated(tmp_path / "ab", [one, other])
    assert sorted(left) == ["made:a0", "made:a1", "made:a2"]
    assert {row["match"] for row in gone.values()} == set(left)
    left, _, other_manifest = curated(tmp_path / "ba", [other, one])
    assert sorted(left) == ["made:b0", "made:b1", "made:b2"]
    assert manifest.counts["test"] == 2
    assert manifest.identity != other_manifest.identity
    assert sorted(row["id"] for row in lake.iterate_rows(tmp_path / "ab" / "heldout.parquet")) == [
        "made:a held",
        "made:b held",
    ]


def test_held_out_questions_of_further_folders_count_and_are_not_carried_on(tmp_path):
    mine = write_folder(tmp_path / "mine", [make("1", text(1)), make("2", text(2)), held("3", text(3))])
    theirs = write_folder(tmp_path / "theirs", [make("4", text(4)), held("5", text(1))])
    left, gone, manifest = curated(tmp_path / "out", mine, against=[theirs])
    assert sorted(left) == ["made:2"]
    assert gone["made:1"]["match"] == "made:5"
    assert manifest.counts["test"] == 1
    assert set(manifest.inputs) == {"questions 1", "against theirs"}


def test_what_stays_is_as_it_was_and_what_went_is_shown(tmp_path):
    questions = [make(f"{index}", text(index), images=[index], modality="CT") for index in range(5)]
    questions += [make(f"copy {index}", text(0), images=[0]) for index in range(5)]
    folder = write_folder(tmp_path / "questions", [*questions, held("x", text("x")), *HELD_OUT])
    left, _, manifest = curated(tmp_path / "out", folder)
    assert list(left.values()) == questions[:5]
    assert (tmp_path / "out" / "heldout.parquet").exists()
    assert set(manifest.files) == set(folder_bytes(tmp_path / "out")) - {"manifest.json"}
    rows = list(lake.iterate_rows(tmp_path / "out" / "examples.parquet"))
    assert [row["role"] for row in rows] == ["removed", "earlier"] * 3
    assert {row["id"] for row in rows if row["role"] == "earlier"} == {"made:0"}
    assert {row["id"] for row in rows if row["role"] == "removed"} < {f"made:copy {index}" for index in range(5)}
    assert set(rows[0]) == {"step", "reason", "detail", "role", *QUESTION_SCHEMA.names}
    assert [row["image_hash"] for row in rows] == [list(questions[0].image_hashes)] * 6
    card = (tmp_path / "out" / "card.md").read_text()
    assert "| deduplicate | 10 | 5 | 5 |" in card
    assert "Licence: CC0-1.0" in card


def test_the_folder_is_as_restricted_as_the_questions_that_its_examples_show(tmp_path):
    hidden = make("hidden", text(1), access="credentialed")
    folder = write_folder(tmp_path / "q", [hidden, make("open", text(2))])
    against = write_folder(tmp_path / "a", [held("other", text(1), access="credentialed")])
    left, gone, manifest = curated(tmp_path / "out", folder, against=[against])
    assert (set(left), set(gone)) == ({"made:open"}, {"made:hidden"})
    assert manifest.access == "credentialed"
