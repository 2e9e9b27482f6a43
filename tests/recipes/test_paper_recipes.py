"""The paper's recipes: every one expands in every variant, can be trained as far as one sees, and says its numbers."""

import statistics
from pathlib import Path

import pytest

from configs.experiments import BENCHMARKS, CLASSES, SOURCES, TEXT
from octomed_jax import configuration
from octomed_jax.cli.main import main
from octomed_jax.curation import settings as curation
from octomed_jax.evaluation.benchmarks import BENCHMARKS as REGISTERED
from octomed_jax.evaluation.benchmarks import CATEGORIES
from octomed_jax.evaluation.paper_results import OVERALL, STUDENT, TABLE_2, cell
from octomed_jax.evaluation.protocol import read_protocol
from octomed_jax.questions.packages.registry import find_source
from octomed_jax.questions.packages.source import check_settings as check_package
from octomed_jax.questions.registry import ADAPTERS
from octomed_jax.sweeps.expand import expand
from octomed_jax.teacher import settings as teacher
from octomed_jax.traces.choose import settings_of
from octomed_jax.training.request import check_training

ROOT = Path(__file__).resolve().parents[2]
POINTS = {
    "sources": (5, 5, 5),
    "question_filters": (4, 2, 2),
    "traces_per_question": (3, 4, 2),
    "teacher": (2, 2, 2),
    "direct_or_cot": (2, 2, 2),
    "data_sets": (4, 2, 2),
    "base_model": (2, 2, 2),
    "final_model": (1, 1, 1),
}
VARIANTS = ("", ":demo", ":tiny")
EVERY = [(name, variant) for name in POINTS for variant in VARIANTS]
BESIDE_THE_FIGURE = {"sources", "traces_per_question", "direct_or_cot"}  # in `make recipes`
BASE = "Qwen2.5-VL-7B"


def spec_of(name: str, variant: str = "") -> str:
    return f"{ROOT}/configs/recipes/{name}.py{variant}"


def paper_of(name):
    return configuration.load_module(Path(spec_of(name))).PAPER


def values_of(name, row, column):
    return {one["x"]: one["y"] for one in paper_of(name)["values"] if (one["row"], one["column"]) == (row, column)}


def each_config(name, variant):
    """Yield the config of every point as a run would read it."""
    spec = spec_of(name, variant)
    for point in expand(spec).points:
        yield point, configuration.load(spec, point.overrides)


@pytest.mark.parametrize(("name", "variant"), EVERY)
def test_every_recipe_expands_to_named_points(name, variant):
    points = expand(spec_of(name, variant)).points
    assert len(points) == POINTS[name][VARIANTS.index(variant)]
    names = [point.changes["name"] for point in points]
    assert len(set(names)) == len(names)
    # No two of them are the same run under two names.
    assert len({str({**point.config, "name": ""}) for point in points}) == len(points)


@pytest.mark.parametrize(("name", "variant"), EVERY)
def test_what_can_be_checked_without_data_is_right(name, variant, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    for _, config in each_config(name, variant):
        steps, epochs = config.train.steps, config.train.epochs
        assert bool(steps) != bool(epochs), "one of them says how long a run is"
        assert config.seed == 0
        assert config.train.seed is None
        config.unlock()
        config.curate.judge.endpoint = "http://localhost:1"  # the one thing that a user must give
        config.train.update({"steps": steps or 1000, "epochs": 0.0})
        check_training(config)
        curation.check_settings(config.curate)
        teacher.check_settings(config.distill)
        settings_of(config)
        read_protocol(config)
        for benchmark in config.eval.benchmarks:
            packages = {given for source in config.questions for given in find_source(source).gives}
            assert benchmark in (packages if variant else {*REGISTERED, *CATEGORIES})
        for source, asked in config.questions.items():
            check_package(find_source(source), asked.to_dict())
        assert bool(config.questions) == bool(variant), "the full scale asks no package of the demo"


@pytest.mark.parametrize("name", [name for name in POINTS if name != "final_model"])
def test_the_full_scale_has_the_papers_schedule(name):
    for _, config in each_config(name, ""):
        train = config.train
        assert (train.peak_learning_rate, train.schedule) == (5e-5, "cosine")
        final = name == "base_model"
        assert (train.examples_per_step, train.warmup_ratio) == ((512, 0.1) if final else (128, 0.01))
        assert 1 <= train.epochs <= 3 or train.steps
        assert config.distill.samples == 16
        assert config.student.base


def test_the_final_model_is_the_papers():
    config = configuration.load(spec_of("final_model"))
    assert (config.train.epochs, config.train.examples_per_step, config.train.warmup_ratio) == (3, 512, 0.1)
    assert (config.traces.per_question, config.traces.format, config.eval.seeds) == (16, "cot", 5)
    assert "difficulty" not in config.curate.steps


def test_the_sources_are_in_the_registry_with_their_sizes():
    assert {name: ADAPTERS[name].splits["train"].rows for name in SOURCES} == SOURCES
    assert {ADAPTERS[name].kind for name in TEXT} == {"text"}
    assert {ADAPTERS[name].kind for name in CLASSES} == {"classification"}
    for name in ("sources", "data_sets"):
        module = configuration.load_module(Path(spec_of(name)))
        assert {source for sources in module.FULL.values() for source in sources} <= set(ADAPTERS)
    assert set(BENCHMARKS) <= set(CATEGORIES)


@pytest.mark.parametrize("name", POINTS)
def test_the_papers_numbers_are_whole(name):
    paper = paper_of(name)
    rows, columns = {one["row"] for one in paper["values"]}, paper["columns"]
    assert {one["column"] for one in paper["values"]} == set(columns)
    assert {"figure", "says", "confidence", "unit", "x", "columns", "benchmarks", "values", "claims"} == set(paper)
    assert set(paper["benchmarks"]) == set(columns)
    assert {one for given in paper["benchmarks"].values() for one in given} <= set(REGISTERED)
    keys = [(one["row"], one["column"], one["x"]) for one in paper["values"]]
    assert len(set(keys)) == len(keys)
    assert all((one["x"] is None) == (not paper["x"]) for one in paper["values"])
    asked = set(configuration.load(spec_of(name, ":demo")).eval.benchmarks)
    assert {benchmark for given in columns.values() for benchmark in given} <= asked
    assert any(columns.values()), "nothing of the demo would stand beside the figure"
    for one in paper["claims"]:
        assert {one["more"], one["less"]} <= rows
        assert one["column"] in columns
        assert one["measure"] in ("accuracy", "tokens")


@pytest.mark.parametrize("name", POINTS)
def test_points_are_rows_of_the_paper(name):
    rows = {one["row"] for one in paper_of(name)["values"]}
    named = {point.changes["name"] for point in expand(spec_of(name)).points}
    assert named - rows <= {"Qwen2.5-VL-3B"}  # ours, as the recipe says
    if name in BESIDE_THE_FIGURE:
        named = {point.changes["name"] for point in expand(spec_of(name, ":demo")).points}
        assert rows <= named
        assert {one[end] for one in paper_of(name)["claims"] for end in ("more", "less")} <= named


@pytest.mark.parametrize("name", POINTS)
def test_the_paper_itself_shows_what_a_recipe_claims_of_accuracy(name):
    for one in paper_of(name)["claims"]:
        if one["measure"] == "accuracy":
            more, less = (values_of(name, one[end], one["column"]) for end in ("more", "less"))
            ends = [one["x"]] * 2 if "x" in one else [max(more, key=lambda x: x or 0), max(less, key=lambda x: x or 0)]
            assert more[ends[0]] > less[ends[1]], one["says"]


def test_numbers_are_those_of_table_2_where_it_has_them():
    for row in (BASE, STUDENT):
        for column, accuracy in ((name, cell(name, row)) for name in (*TABLE_2, *OVERALL)):
            assert values_of("final_model", row, column) == {None: accuracy}
    for kept in ("1", "4", "16"):
        assert values_of("traces_per_question", kept, "MedQA")[0] == cell("medqa", BASE)
    for column, mean in (
        ("MM reasoning", "reasoning on images"),
        ("text", "text"),
        ("classification", "classification"),
    ):
        curve = values_of("data_sets", "OctoMed", column)
        assert curve[0] == pytest.approx(cell(mean, BASE), abs=0.06)
        assert curve[3] == pytest.approx(cell(mean, STUDENT), abs=0.7)  # Figure 1 has plain means, the table votes
    figure_9 = {"MedQA": "medqa", "Brain Tumor": "brain-tumor-mri", "BCSS": "bcss", "MedXpertQA-T": "medxpertqa-text"}
    for column, benchmark in figure_9.items():
        for row, model in ((f"{BASE}, before", BASE), (BASE, STUDENT)):
            assert values_of("base_model", row, column)[None] == pytest.approx(cell(benchmark, model), abs=0.1)


@pytest.mark.parametrize("row", ["direct", "CoT"])
def test_means_of_table_1_are_those_of_its_rows(row):
    groups = {
        "text": ("MedQA", "HeadQA", "MedMCQA", "MedXpertQA-T", "MMLU-PRO"),
        "MM reasoning": ("MMMU-PRO", "NEJM", "PMC-VQA", "MedXpertQA-MM"),
        "classification": ("Brain Tumor", "CoronaHack", "Aptos", "MESSIDOR2", "BCSS"),
    }
    for group, columns in groups.items():
        mean = statistics.mean(values_of("direct_or_cot", row, column)[None] for column in columns)
        assert values_of("direct_or_cot", row, group)[None] == pytest.approx(mean, abs=0.011)


@pytest.mark.parametrize("row", ["text", "MM reasoning", "MM classification", "text + MM reasoning", "all"])
def test_the_overall_of_figure_3_is_the_mean_over_14_benchmarks(row):
    text, reasoning, classes, overall = (
        values_of("sources", row, column)[None] for column in ("text", "MM reasoning", "MM classification", "overall")
    )
    assert overall == pytest.approx((5 * text + 4 * reasoning + 5 * classes) / 14, abs=0.11)


@pytest.mark.parametrize("name", POINTS)
def test_a_variant_that_is_none_is_named(name, capsys):
    assert main(["sweep", "expand", f"--config={spec_of(name, ':dmeo')}"]) == 2
    said = capsys.readouterr().err
    assert f"{name}.py knows no variant 'dmeo'" in said
    assert ":demo, :tiny" in said


@pytest.mark.parametrize("base", ["Qwen3-VL-8B", "InternVL3.5-8B"])
def test_bases_that_need_another_student_are_refused_by_name(base, capsys):
    assert main(["sweep", "expand", f"--config={spec_of('base_model', f':{base}')}"]) == 2
    assert f"base_model.py:{base} needs another student" in capsys.readouterr().err
    assert base in {one["row"] for one in paper_of("base_model")["values"]}
