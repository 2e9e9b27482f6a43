"""`octomed eval compare` on hand-made files: known results, what it refuses, and what it says."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from octomed_jax import storage
from octomed_jax.cli.main import main
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.evaluation.benchmarks import TEXT, category_members
from octomed_jax.evaluation.comparison import A_BETTER, B_BETTER, NO_EVIDENCE, compare
from octomed_jax.evaluation.comparison_text import conclusion, rows, sentences, write_markdown
from octomed_jax.evaluation.paired_settings import ALLOWED_NAMES
from octomed_jax.evaluation.sample_files import find_files, score_files
from octomed_jax.verification.check import VERIFIER_VERSION

SETTINGS = {
    "eval": {"backend": "jax", "temperature": 0.6, "top_p": 0.95, "seeds": 1, "max_new_tokens": 96, "batch": 8},
    "seed": 0,
    "answer_format": "boxed",
    "verifier": "3",
}


def row(number: int, verdict: str, seed: int = 0, benchmark: str = "medqa", **fields) -> dict:
    return {
        "benchmark": benchmark,
        "id": f"{benchmark}:{number:04}",
        "task": "mcq",
        "question": f"Question {number}?",
        "options": ["yes", "no"],
        "answer": "yes",
        "cluster": "",
        "seed": seed,
        "response": "",
        "finish_reason": "stop",
        "verdict": verdict,
        **fields,
    }


def answers(right: str, **fields) -> "list[dict]":
    """One row for each letter: 1 right, 0 wrong, e failed."""
    words = {"1": {"verdict": "correct"}, "0": {"verdict": "wrong"}}
    words["e"] = {"verdict": "unparsed", "finish_reason": "error", "error": "HTTP 500"}
    return [row(number, **words[letter], **fields) for number, letter in enumerate(right)]


def file(path: Path, samples: "list[dict]") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return str(path)


def folder(path: Path, samples: "list[dict]", settings: "dict | None" = SETTINGS) -> str:
    for name in {sample["benchmark"] for sample in samples}:
        file(path / "samples" / f"{name}.jsonl", [sample for sample in samples if sample["benchmark"] == name])
    (path / "results.json").write_text(json.dumps({"benchmarks": {}, "settings": settings}))
    return str(path)


def test_a_known_result(tmp_path):
    """Of 20 questions B alone solves 9 and A alone 1: 11/20 against 3/20, McNemar's p is 2 * 11 / 1024."""
    a = file(tmp_path / "a.jsonl", answers("1" + "0" * 9 + "11" + "0" * 8))
    b = file(tmp_path / "b.jsonl", answers("0" + "1" * 9 + "11" + "0" * 8))
    found = compare(a, b)["benchmarks"]["medqa"]
    assert found["n"] == found["clusters"] == 20
    assert found["accuracy"] == pytest.approx([0.15, 0.55])
    assert found["difference"] == pytest.approx(0.4)
    assert found["mcnemar"] == {"only_a": 1, "only_b": 9, "p": pytest.approx(22 / 1024)}
    assert found["p"] == found["p_holm"] == pytest.approx(22 / 1024)
    assert found["verdict"] == B_BETTER
    assert found["interval"][0] > 0
    # Normal theory with Student's t on 20 differences: 0.4 +- 2.09 * 0.598 / sqrt(20).
    assert found["interval"] == pytest.approx([0.12, 0.68], abs=0.05)


def test_the_sides_swapped_give_the_mirror_image(tmp_path):
    a = file(tmp_path / "a.jsonl", answers("1" + "0" * 9 + "11" + "0" * 8))
    b = file(tmp_path / "b.jsonl", answers("0" + "1" * 9 + "11" + "0" * 8))
    there, back = compare(a, b)["benchmarks"]["medqa"], compare(b, a)["benchmarks"]["medqa"]
    assert back["verdict"] == A_BETTER
    assert back["difference"] == -there["difference"]
    assert (back["p"], back["smallest_difference"]) == (there["p"], there["smallest_difference"])
    assert back["interval"] == pytest.approx([-there["interval"][1], -there["interval"][0]], abs=0.06)


def test_holm_decides_over_benchmarks(tmp_path):
    """p is 0.0215 alone, and 0.043, then 0.0645, as one of two and of three that differ nowhere else."""
    sides = {
        "a": answers("1" + "0" * 9, benchmark="one") + answers("10" * 5, benchmark="two"),
        "b": answers("0" + "1" * 9, benchmark="one") + answers("10" * 5, benchmark="two"),
    }
    both = [file(tmp_path / f"{name}.jsonl", samples) for name, samples in sides.items()]
    assert compare(*both)["benchmarks"]["one"]["verdict"] == B_BETTER
    three = [
        file(tmp_path / f"{name}3.jsonl", samples + answers("11", benchmark="three")) for name, samples in sides.items()
    ]
    found = compare(*three)["benchmarks"]["one"]
    assert found["p_holm"] == pytest.approx(3 * 22 / 1024)
    assert found["verdict"] == NO_EVIDENCE


def test_no_evidence_says_what_could_have_been_shown(tmp_path):
    a = file(tmp_path / "a.jsonl", answers("10" * 30))
    b = file(tmp_path / "b.jsonl", answers("10" * 28 + "0110"))
    found = compare(a, b)
    assert found["benchmarks"]["medqa"]["verdict"] == NO_EVIDENCE
    least = found["benchmarks"]["medqa"]["smallest_difference"]
    assert sentences(found) == [
        f"medqa: no evidence of a difference; these questions could have shown one of {100 * least:.1f} points"
    ]
    few = compare(file(tmp_path / "c.jsonl", answers("1010")), file(tmp_path / "d.jsonl", answers("0101")))
    assert "so few questions could not have shown any" in sentences(few)[0]


def test_a_side_with_itself(tmp_path):
    """Nothing differs; the interval is the exact one and no point."""
    a = file(tmp_path / "a.jsonl", answers("1100" * 25))
    found = compare(a, a)["benchmarks"]["medqa"]
    assert (found["difference"], found["p"], found["verdict"]) == (0.0, 1.0, NO_EVIDENCE)
    assert found["interval"] == pytest.approx([-0.0295, 0.0295], abs=1e-3)
    two = file(tmp_path / "two.jsonl", answers("1100" * 25) + answers("10" * 50, benchmark="apt"))
    both = compare(two, two)
    assert both["overall"]["verdict"] == NO_EVIDENCE
    # 200 questions, of which the same number must differ at least as of those of one benchmark of 200.
    alone = compare(*[file(tmp_path / "alone.jsonl", answers("10" * 100))] * 2)
    assert both["overall"]["smallest_difference"] == pytest.approx(alone["overall"]["smallest_difference"])
    assert both["overall"]["interval"] == pytest.approx(alone["overall"]["interval"])


def test_several_seeds_are_one_question(tmp_path):
    """Five seeds of 8 questions, all better: p is 2 / 2^8, as for 8 questions, however many samples there are."""
    a = [row(number, "wrong", seed) for number in range(8) for seed in range(5)]
    b = [row(number, "correct" if seed <= number % 5 else "wrong", seed) for number in range(8) for seed in range(5)]
    found = compare(file(tmp_path / "a.jsonl", a), file(tmp_path / "b.jsonl", b))["benchmarks"]["medqa"]
    assert found["p"] == pytest.approx(2 / 2**8)
    assert found["mcnemar"]["only_b"] == 8
    assert found["accuracy"][1] == pytest.approx(np.mean([(number % 5 + 1) / 5 for number in range(8)]))


def test_a_cluster_is_one_piece_of_evidence(tmp_path):
    """40 questions of 4 patients, all better in B: McNemar would be sure, four patients are not enough."""
    fields = [{"cluster": f"patient {number // 10}"} for number in range(40)]
    a, b = ([row(k, verdict, **fields[k]) for k in range(40)] for verdict in ("wrong", "correct"))
    found = compare(file(tmp_path / "a.jsonl", a), file(tmp_path / "b.jsonl", b))["benchmarks"]["medqa"]
    assert found["clusters"] == 4
    assert found["mcnemar"]["p"] < 1e-9
    assert found["p"] == pytest.approx(2 / 2**4)
    assert found["verdict"] == NO_EVIDENCE
    assert found["smallest_difference"] is None


def test_failed_requests_are_no_wrong_answers(tmp_path):
    a = file(tmp_path / "a.jsonl", answers("1e00"))
    b = file(tmp_path / "b.jsonl", answers("1110"))
    found = compare(a, b)
    assert found["benchmarks"]["medqa"]["accuracy"] == pytest.approx([1 / 3, 2 / 3])
    assert (found["benchmarks"]["medqa"]["failed"], found["benchmarks"]["medqa"]["left_out"]) == ([1, 0], 1)
    assert "1 requests of A failed for good; they count neither as right nor as wrong" in found["notes"]
    dead = file(tmp_path / "dead.jsonl", answers("eeee"))
    with pytest.raises(UserError, match="no question that both sides answered"):
        compare(a, dead)


def test_with_a_failed_seed_the_mean_is_over_the_others(tmp_path):
    a = [row(0, "correct", 0), row(0, "unparsed", 1, error="timeout"), row(1, "wrong", 0), row(1, "correct", 1)]
    b = [row(number, "correct", seed) for number in range(2) for seed in range(2)]
    found = compare(file(tmp_path / "a.jsonl", a), file(tmp_path / "b.jsonl", b))["benchmarks"]["medqa"]
    assert found["accuracy"] == [0.75, 1.0]


def test_rows_without_a_verdict_are_judged(tmp_path):
    responses = {"a": "<think>x</think> \\boxed{B}", "b": "<think>x</think> \\boxed{A}"}
    paths = []
    for name, response in responses.items():
        samples = [row(number, "", response=response) for number in range(7)]
        for sample in samples:
            del sample["verdict"]
        paths.append(file(tmp_path / f"{name}.jsonl", samples))
    found = compare(*paths)
    assert found["benchmarks"]["medqa"]["accuracy"] == [0.0, 1.0]
    assert found["a"]["verdicts"].startswith("by verifier ")
    judged_before = {**row(1, "correct"), "id": "another"}
    mixed = [*(json.loads(line) for line in Path(paths[0]).read_text().splitlines()), judged_before]
    with pytest.raises(UserError, match="rows with a verdict and rows without"):
        compare(file(tmp_path / "mixed.jsonl", mixed), paths[0])


def test_figures_are_those_of_scipy_on_counts_made_by_hand(tmp_path):
    """Six benchmarks with one sample a question: McNemar's p by scipy's binomial, and Holm's rule step by step."""
    draw, sides = np.random.default_rng(4), {"a": [], "b": []}
    for place in range(6):
        easy = draw.random(60 + 30 * place)
        for side, skill in (("a", 0.8), ("b", 0.8 + 0.06 * place)):
            right = "".join(
                "1" if chance < skill * one else "0" for one, chance in zip(easy, draw.random(len(easy)), strict=True)
            )
            sides[side] += answers(right, benchmark=f"set{place}")
    found = compare(*[file(tmp_path / f"{side}.jsonl", samples) for side, samples in sides.items()])["benchmarks"]
    values = {}
    for name in found:
        a, b = ([one["verdict"] == "correct" for one in sides[side] if one["benchmark"] == name] for side in "ab")
        alone = [sum(x and not y for x, y in zip(*pair, strict=True)) for pair in ((a, b), (b, a))]
        values[name] = binomtest(alone[0], sum(alone)).pvalue
        assert found[name]["p"] == found[name]["mcnemar"]["p"] == pytest.approx(values[name])
        assert found[name]["difference"] == pytest.approx(np.mean(b) - np.mean(a))
    least = 0.0
    for rank, name in enumerate(sorted(values, key=values.get)):
        least = max(least, min(1.0, values[name] * (6 - rank)))
        assert found[name]["p_holm"] == pytest.approx(least)
        assert (found[name]["verdict"] == NO_EVIDENCE) == (least > 0.05)
    assert {one["verdict"] for one in found.values()} == {NO_EVIDENCE, B_BETTER}


def test_all_responses_are_judged_again_where_that_is_asked_for(tmp_path):
    """Verdicts of two verifiers cannot be compared; those of one can, whatever the rows say."""
    sides = []
    for name, letter, verifier in (("a", "B", "1"), ("b", "A", "2")):
        samples = [row(number, "correct", response=f"<think>x</think> \\boxed{{{letter}}}") for number in range(7)]
        sides.append(folder(tmp_path / name, samples, {**SETTINGS, "verifier": verifier}))
    with pytest.raises(UserError, match="--judge judges the responses of both"):
        compare(*sides)
    found = compare(*sides, judge=True)
    assert found["benchmarks"]["medqa"]["accuracy"] == [0.0, 1.0]
    assert found["a"]["verdicts"] == found["b"]["verdicts"] == f"by verifier {VERIFIER_VERSION}"


def test_a_folder_that_was_scored_again_is_compared_by_its_new_verdicts(tmp_path):
    """`octomed eval score` writes no verdicts into the samples: what stands there is of the verifier before."""
    samples = [
        row(number, "correct", response=f"<think>x</think> \\boxed{{{'AB'[number % 2]}}}") for number in range(6)
    ]
    scored = folder(tmp_path / "a", samples)
    storage.write_json(tmp_path / "a" / "results.json", score_files(find_files([tmp_path / "a"])))
    found = compare(scored, scored)
    results = storage.read_json(tmp_path / "a" / "results.json")
    assert results["benchmarks"]["medqa"]["accuracy"] == 0.5
    assert found["benchmarks"]["medqa"]["accuracy"] == [0.5, 0.5]
    with pytest.raises(UserError, match=r"^answer_format is None in A and 'boxed' in B"):
        compare(scored, folder(tmp_path / "b", samples))


def test_accuracies_are_those_of_the_results(tmp_path):
    """Failed requests, several seeds, clusters and verdicts of all kinds: scores and comparisons count alike."""
    draw = np.random.default_rng(1)
    letters = ["\\boxed{A}", "\\boxed{B}", "no idea", "<think>on and on"]
    samples = [
        row(number, None, seed, name, response=letters[draw.choice(4, p=[0.5, 0.3, 0.1, 0.1])],
            finish_reason="error" if draw.random() < 0.1 else "stop", cluster=f"patient {number // 3}")
        for name in ("one", "other") for number in range(20) for seed in range(3)
    ]  # fmt: skip
    a, b = (file(tmp_path / f"{side}.jsonl", samples) for side in "ab")
    scored, found = score_files([Path(a)])["benchmarks"], compare(a, b)["benchmarks"]
    assert {name: one["accuracy"] for name, one in found.items()} == {
        name: [pytest.approx(one["accuracy"])] * 2 for name, one in scored.items()
    }
    assert [found[name]["failed"][0] for name in found] == [scored[name]["failed"] for name in found]


def test_reports_have_no_accuracy_and_are_not_compared(tmp_path):
    reports = answers("00", benchmark="chest", task="report")
    a = file(tmp_path / "a.jsonl", answers("10") + reports)
    found = compare(a, a)
    assert list(found["benchmarks"]) == ["medqa"]
    assert "no rule of right and wrong, and not compared: chest" in found["notes"]
    alone = file(tmp_path / "alone.jsonl", reports)
    with pytest.raises(UserError, match=r"^chest: reports and instructions have no rule"):
        compare(alone, alone)


def test_other_images_are_refused_where_rows_name_them(tmp_path):
    a, b = (
        folder(tmp_path / name, [row(0, "correct", image_hash=[pixels]), row(1, "wrong", image_hash=[])])
        for name, pixels in (("a", "12"), ("b", "13"))
    )
    with pytest.raises(UserError, match=r"^the images of question 'medqa:0000' \(medqa\) are not the same"):
        compare(a, b)
    unknown = folder(tmp_path / "c", answers("10"))
    for name, folder_name in (("a", "one"), ("c", "other")):
        (tmp_path / name / "manifest.json").write_text(json.dumps({"inputs": {"questions": folder_name}}))
    assert any("images are not compared" in note for note in compare(a, unknown)["notes"])
    (tmp_path / "b" / "manifest.json").write_text(json.dumps({"inputs": {"questions": "third"}}))
    for name in "ab":
        file(tmp_path / name / "samples" / "medqa.jsonl", [row(0, "correct", image_hash=["12"])])
    assert not any("images" in note for note in compare(a, b)["notes"])


def test_means_by_category_are_the_papers(tmp_path):
    """Text: +20 and 0 points make +10, each benchmark counting the same; what is missing and too short is named."""
    a = answers("1" * 40 + "0" * 60, benchmark="medqa") + answers("10" * 5, benchmark="headqa")
    b = answers("1" * 60 + "0" * 40, benchmark="medqa") + answers("10" * 5, benchmark="headqa")
    extra = answers("1" * 5 + "0" * 5, benchmark="aptos") + answers("0" * 9, benchmark="of-mine")
    found = compare(file(tmp_path / "a.jsonl", a + extra), file(tmp_path / "b.jsonl", b + extra))
    assert list(found["categories"]) == ["text", "classification"]
    text = found["categories"]["text"]
    assert text["benchmarks"] == ["headqa", "medqa"]
    assert text["accuracy"] == pytest.approx([0.45, 0.55])
    assert text["difference"] == pytest.approx(0.1)
    assert text["label"] == "partial (2 of 5 benchmarks; too few questions of medqa, headqa)"
    assert text["missing"] == ["medmcqa", "medxpertqa-text", "mmlu-pro-health"]
    # Two families: McNemar's p of the 20 questions that differ, and 1.
    assert text["p"] == pytest.approx(1e-5, abs=1e-5)
    assert text["p_holm"] == 2 * text["p"]
    assert (text["verdict"], found["categories"]["classification"]["verdict"]) == (B_BETTER, NO_EVIDENCE)
    # One test of two needs fewer questions than one of four.
    alone = (
        found["categories"]["classification"]["smallest_difference"],
        found["benchmarks"]["aptos"]["smallest_difference"],
    )
    assert alone[0] < alone[1]
    shown = [one[0] for one in rows(found)]
    assert shown == ["aptos", "headqa", "medqa", "of-mine", "text, partial", "mean of all"]
    assert "text, partial (2 of 5 benchmarks; too few questions of medqa, headqa): B is better" in sentences(found)
    assert "| text, partial |" in write_markdown(found)


def test_a_whole_category_is_an_overall(tmp_path):
    names = [one.name for one in category_members(TEXT)]
    a, b = ([one for name in names for one in answers(right, benchmark=name)] for right in ("1100", "1110"))
    paths = [file(tmp_path / f"{side}.jsonl", samples) for side, samples in (("a", a), ("b", b))]
    found = compare(*paths)
    assert found["categories"][TEXT]["label"].startswith("partial (too few questions of medqa, headqa")
    assert (found["categories"][TEXT]["p"], found["categories"][TEXT]["accuracy"]) == (
        found["overall"]["p"],
        found["overall"]["accuracy"],
    )


def test_two_names_of_one_benchmark_make_no_mean(tmp_path):
    both = answers("10", benchmark="medqa") + answers("01", benchmark="medqa-5options") + answers("1", benchmark="bcss")
    found = compare(*[file(tmp_path / "a.jsonl", both)] * 2)
    assert list(found["categories"]) == ["classification"]
    assert "medqa and medqa-5options are one benchmark, which counts once: there is no mean of text" in found["notes"]


def test_overall_is_the_mean_over_benchmarks(tmp_path):
    """100 questions with a difference of 20 points and 10 with one of -10 make +5, not +17."""
    a = answers("1" * 40 + "0" * 60, benchmark="big") + answers("1" * 5 + "0" * 5, benchmark="small")
    b = answers("1" * 60 + "0" * 40, benchmark="big") + answers("1" * 4 + "0" * 6, benchmark="small")
    overall = compare(file(tmp_path / "a.jsonl", a), file(tmp_path / "b.jsonl", b))["overall"]
    assert overall["difference"] == pytest.approx(0.05)
    assert overall["accuracy"] == pytest.approx([0.45, 0.5])
    low, high = overall["interval"]
    # By theory: half the root of 0.2 * 0.8 / 99 + 0.1 * 0.9 / 9, and t of about ten degrees of freedom.
    assert (high - low) / 2 == pytest.approx(2.2 * 0.5 * (0.16 / 99 + 0.09 / 9) ** 0.5, rel=0.2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("question", "Another?"),
        ("options", ["no", "yes"]),
        ("answer", "no"),
        ("task", "classification"),
        ("cluster", "patient 1"),
        ("aliases", ["aye"]),
        ("upper_limit", 2.0),
    ],
)
def test_other_questions_are_refused_by_name(tmp_path, field, value):
    a, b = answers("1100"), answers("1100")
    b[2][field] = value
    with pytest.raises(UserError, match=rf"^{field} of question 'medqa:0002' \(medqa\) is not the same in A and B"):
        compare(file(tmp_path / "a.jsonl", a), file(tmp_path / "b.jsonl", b))


def test_what_one_side_lacks_is_refused(tmp_path):
    a, b = file(tmp_path / "a.jsonl", answers("110")), file(tmp_path / "b.jsonl", answers("1100"))
    with pytest.raises(UserError, match=r"'medqa:0003' .* is in B and not in A"):
        compare(a, b)
    more = file(tmp_path / "more.jsonl", answers("110") + answers("1", benchmark="apt"))
    with pytest.raises(UserError, match="benchmark 'apt' is in B and not in A; --allow=benchmarks"):
        compare(a, more)
    found = compare(a, more, ["benchmarks"])
    assert list(found["benchmarks"]) == ["medqa"]
    assert "on one side only, and not compared: apt" in found["notes"]
    other = file(tmp_path / "other.jsonl", answers("1", benchmark="apt"))
    with pytest.raises(UserError, match="no benchmark in common"):
        compare(a, other, ["benchmarks"])


def test_other_seeds_are_refused_unless_allowed(tmp_path):
    a = file(tmp_path / "a.jsonl", answers("1100"))
    b = file(tmp_path / "b.jsonl", answers("1100") + answers("0100", seed=1))
    with pytest.raises(UserError, match=r"'medqa:0000' \(medqa\) has the seeds 0 in A and 0, 1 in B; .*--allow=seeds"):
        compare(a, b)
    assert compare(a, b, ["seeds"])["benchmarks"]["medqa"]["accuracy"] == [0.5, 0.375]


@pytest.mark.parametrize(
    ("name", "value", "allow"),
    [
        ("eval.temperature", 0.0, "sampling"),
        ("eval.top_p", 1.0, "sampling"),
        ("eval.max_new_tokens", 8192, "budget"),
        ("eval.force_end_of_thinking", True, "budget"),
        ("eval.seeds", 5, "seeds"),
        ("seed", 7, "seeds"),
        ("answer_format", "tag", "prompt"),
        ("eval.max_pixels", 1024, "images"),
        ("eval.unheard_of", 1, "eval.unheard_of"),
    ],
)
def test_other_settings_are_refused_unless_allowed(tmp_path, name, value, allow):
    other = json.loads(json.dumps(SETTINGS))
    place = other["eval"] if name.startswith("eval.") else other
    place[name.removeprefix("eval.")] = value
    a, b = folder(tmp_path / "a", answers("1100")), folder(tmp_path / "b", answers("1100"), other)
    with pytest.raises(UserError, match=f"^{name} is .* in A and {value!r} in B; .*--allow={allow}"):
        compare(a, b)
    allowed = compare(a, b, [allow])["allowed"]
    assert list(allowed) == [name]
    assert allowed[name][1] == value


def test_another_verifier_or_protocol_is_never_allowed(tmp_path):
    newer = folder(tmp_path / "newer", answers("1"), {**SETTINGS, "protocol": 2})
    with pytest.raises(UserError, match="--allow=protocol is unknown"):
        compare(newer, folder(tmp_path / "older", answers("1"), {**SETTINGS, "protocol": 1}), ["protocol"])
    with pytest.raises(UserError, match=r"^protocol is 2 in A and 1 in B; evaluate both with one version"):
        compare(newer, tmp_path / "older")
    a, b = folder(tmp_path / "a", answers("1")), folder(tmp_path / "b", answers("1"), {**SETTINGS, "verifier": "2"})
    for allow in ([], ["verifier.x"], ["prompt", "seeds", "sampling", "budget", "images", "benchmarks"]):
        with pytest.raises(
            UserError, match=r"^verifier is '3' in A and '2' in B; --judge judges the responses of both"
        ):
            compare(a, b, allow)


def test_what_does_not_hinder_is_said(tmp_path):
    other = {**SETTINGS, "eval": {**SETTINGS["eval"], "backend": "vllm", "batch": 100, "answer_format": "boxed"}}
    a, b = folder(tmp_path / "a", answers("1100")), folder(tmp_path / "b", answers("1100"), other)
    found = compare(a, b)
    assert found["noted"] == {
        "eval.answer_format": [None, "boxed"],
        "eval.backend": ["jax", "vllm"],
        "eval.batch": [8, 100],
    }
    assert "Also differs" in write_markdown(found)
    alone = compare(a, file(tmp_path / "c.jsonl", answers("1100")))
    assert "the settings of B are not known, so they are not compared" in alone["notes"]
    for side, name in (("a", "one"), ("b", "other")):
        (tmp_path / side / "manifest.json").write_text(json.dumps({"inputs": {"questions": name}}))
    assert any("images are not compared" in note for note in compare(a, b)["notes"])


LINE = json.dumps(row(0, "correct"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no samples"),
        ("\n\n", "holds no samples"),
        (LINE + "\n" + LINE[:50], "line 2 is cut off in the middle"),
        ("nonsense\n" + LINE + "\n", "line 1 is no JSON"),
        ("[1]\n", "line 1 is no row but list"),
        ("\xff\n", "line 1 is no JSON"),
        ("[" * 100_000 + "\n", "line 1 is no JSON"),
        (LINE + "\n" + LINE + "\n", "line 2 is a second sample of question 'medqa:0000' with seed 0"),
        (json.dumps(row(0, "correct", seed=True)), "line 1 has the seed True; a seed is a whole number"),
        (json.dumps(row(0, "maybe")), "line 1 has the verdict 'maybe'; one of correct, wrong"),
        (json.dumps({**row(0, "correct"), "id": 7}), "line 1 has no id; a sample needs it, as text"),
        (json.dumps({**row(0, "correct"), "benchmark": "\ud800"}), "half of a character"),
        (json.dumps({**row(0, "correct"), "benchmark": ""}), "line 1 has no benchmark"),
        (json.dumps({k: v for k, v in row(0, "correct").items() if k != "answer"}), "line 1 has no answer"),
        (
            LINE + "\n" + json.dumps(row(0, "wrong", seed=1, question="?")),
            "line 2 asks question 'medqa:0000' of medqa with another question than",
        ),
        (json.dumps({k: v for k, v in row(0, "", answer="").items() if k != "verdict"}), "has no gold;"),
        (
            json.dumps({k: v for k, v in row(0, "").items() if k not in ("verdict", "response")}),
            "line 1 has no response as text",
        ),
        (json.dumps({k: v for k, v in row(0, "", task="poem").items() if k != "verdict"}), "unknown task 'poem'"),
    ],
)
def test_broken_files_are_named_in_one_line(tmp_path, capsys, text, says):
    good = file(tmp_path / "good.jsonl", answers("1"))
    (tmp_path / "bad.jsonl").write_bytes(text.encode("latin-1"))
    assert main(["eval", "compare", good, str(tmp_path / "bad.jsonl"), f"--output={tmp_path / 'out'}"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert says in lines[0]
    assert not (tmp_path / "out").exists()


def test_broken_folders_are_named(tmp_path):
    good = folder(tmp_path / "good", answers("1"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no such file"):
        compare(good, tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no folder samples"):
        compare(good, tmp_path / "empty")
    (tmp_path / "good" / "results.json").unlink()
    with pytest.raises(UserError, match=r"holds no results\.json"):
        compare(good, good)
    storage.write_json(tmp_path / "good" / "results.json", {"settings": [1]})
    with pytest.raises(UserError, match="settings is list, not an object"):
        compare(good, good)
    (tmp_path / "good" / "results.json").write_text('{"settings": {')
    with pytest.raises(StopAndLook, match="not valid JSON"):
        compare(good, good)


def test_the_command_line(tmp_path, capsys):
    a = folder(tmp_path / "a", answers("1" + "0" * 9) + answers("10", benchmark="[red]x[/] | y"))
    b = folder(tmp_path / "b", answers("0" + "1" * 9) + answers("10", benchmark="[red]x[/] | y"))
    out = tmp_path / "out"
    assert main(["eval", "compare", a, b, f"--output={out}", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "compare.json").read_text())
    text = (out / "compare.md").read_text()
    assert "| medqa | 10 | 10.0 | 90.0 | +80.0 |" in text
    assert "B is better" in text
    assert all(line.count("|") == 10 for line in text.splitlines() if line.startswith("|"))
    assert main(["eval", "compare", a, b]) == 0
    both = capsys.readouterr()
    assert "medqa: B is better" in both.err
    assert both.out.strip() == f"{conclusion(printed)}; --output=DIR writes it"
    first = (out / "compare.json").read_bytes()
    assert main(["eval", "compare", a, b, f"--output={out}"]) == 0
    assert (out / "compare.json").read_bytes() == first


def test_help_has_an_example_and_names_what_may_be_allowed(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["eval", "compare", "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert "example:\n  octomed eval compare" in text
    assert all(name in text for name in ALLOWED_NAMES)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--allow=sampels"], "--allow=sampels is unknown (did you mean 'sampling'?)"),
        (["--allow=verifier"], "--allow=verifier is unknown"),
        (["--outptu=x"], "did you mean '--output'"),
        (["--config.eval.seeds=3"], "this command has none"),
    ],
)
def test_mistyped_options(tmp_path, capsys, words, says):
    a = file(tmp_path / "a.jsonl", answers("1"))
    assert main(["eval", "compare", a, a, *words]) == 2
    assert says in capsys.readouterr().err


def test_rows_show_signs_and_small_values():
    one = {
        "n": 900,
        "accuracy": [0.5, 0.4],
        "difference": -0.1,
        "interval": [-0.2, -0.0001],
        "p_holm": 1e-9,
        "verdict": A_BETTER,
        "smallest_difference": 0.05,
    }
    shown = rows({"benchmarks": {"x": one}, "categories": {}})
    assert shown == [["x", "900", "50.0", "40.0", "−10.0", "−20.0 to 0.0", "≤ 0.0001", A_BETTER, "5.0"]]


def test_a_p_that_is_too_small_to_print_is_marked_so_everywhere(tmp_path, capsys):
    a, b = file(tmp_path / "a.jsonl", answers("0" * 30)), file(tmp_path / "b.jsonl", answers("1" * 30))
    assert main(["eval", "compare", a, b, f"--output={tmp_path / 'out'}"]) == 0
    assert "≤ 0.0001" in capsys.readouterr().err
    assert "| ≤ 0.0001 |" in (tmp_path / "out" / "compare.md").read_text()
