"""``summary.json`` and ``report.html``: what a finished run found, for a script and for a reader."""

from typing import Any

from etils import epath
from markupsafe import Markup

from octomed_jax import storage
from octomed_jax.evaluation import examples, figures, markdown
from octomed_jax.evaluation.page import render, setting_rows
from octomed_jax.evaluation.report_data import FUNNEL_STEPS, Run, read_run

# heading -> what it means, in the order of the report
GROUPS = {
    "Kinds trained on, unseen inputs": "the same kind of question was trained on, these very inputs were not",
    "Another brain": "slices of a brain of which nothing was trained on",
    "Whole calculators held out": "no question of these calculators was trained on",
    "MedMCQA": "an exam benchmark, printed whether or not it improves; nothing of it was trained on",
    "Other": "everything else that was measured",
}


def group_of(source: str, n_train: int | None) -> str:
    """Return the heading (a key of GROUPS) under which a benchmark is shown.

    Args:
        source: name of its source adapter.
        n_train: number of training questions of the same benchmark; None where results were scored anew and do not say.
    """
    if source == "brain":
        return "Another brain"
    if source in ("medmcqa", "medmcqa_sample"):
        return "MedMCQA"
    if source == "medcalc" and n_train == 0:
        return "Whole calculators held out"
    if source in ("medcalc", "icd10", "dicom") and n_train:
        return "Kinds trained on, unseen inputs"
    return "Other"


def summarise(run: storage.PathLike) -> dict[str, Any]:
    """Return the content of ``summary.json``.

    ``questions`` counts training questions, ``accepted`` the right attempts, which became traces,
    ``acceptance_rate`` their share; accuracies are shares; ``unparsed`` counts samples after training; ``seconds`` is
    the sum over the stages, ``peak_rss_mb`` the highest of them (both 0 where no stage left its timing).

    Raises:
        UserError: no such run, or a stage is missing.
        StopAndLook: a file of a finished stage cannot be read.
    """
    return _summary(read_run(run))


def _summary(run: Run) -> dict[str, Any]:
    total = run.funnel["total"]
    return {
        "questions": run.n_questions,
        "attempts": total["asked"],
        "accepted": total["kept"],
        "acceptance_rate": total["kept"] / total["asked"] if total["asked"] else 0.0,
        "train_steps": run.metrics[-1]["step"],
        "loss_first": run.metrics[0]["loss"],
        "loss_last": run.metrics[-1]["loss"],
        "eval": {
            name: {
                "n": after["n"],
                "baseline": after["baseline"],
                "before": run.before[name]["accuracy"],
                "after": after["accuracy"],
                "after_low": after["wilson"][0],
                "after_high": after["wilson"][1],
                "unparsed": after["unparsed"],
            }
            for name, after in run.after.items()
        },
        "export": {"path": str(run.folder / "export"), "max_logit_diff": run.max_logit_diff},
        "seconds": sum((row["seconds"] for row in run.timing.values()), 0.0),
        "peak_rss_mb": max((row["peak_rss_mb"] for row in run.timing.values()), default=0.0),
    }


def write_report(run: storage.PathLike) -> epath.Path:
    """Write ``RUN/summary.json`` and ``RUN/report.html`` and return the path of the latter.

    The page is one file that fetches nothing; equal inputs give equal bytes.

    Raises:
        UserError: no such run, or a stage is missing.
        StopAndLook: a file of a finished stage cannot be read.
    """
    data = read_run(run)
    page = _render(data)
    storage.write_json(data.folder / "summary.json", _summary(data))
    storage.write_text(data.folder / "report.html", page)
    return data.folder / "report.html"


def _render(run: Run) -> str:
    rows = benchmark_rows(run)
    groups = [
        (name, note, [row for row in rows if row["group"] == name])
        for name, note in GROUPS.items()
        if any(row["group"] == name for row in rows)
    ]
    order = [row["name"] for _, _, members in groups for row in members]
    return render(
        "report.html.jinja",
        f"octomed_jax: run {run.folder.name}",
        figures.draw(run, groups),
        run=run,
        summary=_summary(run),
        groups=groups,
        funnel_rows=[*sorted(run.funnel["sources"].items()), ("all sources", run.funnel["total"])],
        funnel_steps=FUNNEL_STEPS,
        reasons=figures.rejected_reasons(run.funnel["total"]["reasons"]),
        difficulty=figures.by_difficulty(groups),
        learned=[row for row in rows if row["after_low"] >= row["baseline"] + 0.4],
        student=examples.student_examples(run.folder, order),
        teacher=examples.teacher_examples(run.folder),
        card=Markup(markdown.to_html(run.card)),
        settings=_settings(run),
    )


def benchmark_rows(run: Run) -> list[dict[str, Any]]:
    """Return one flat row a benchmark with all its figures before and after, sorted by name."""
    rows = []
    for name, after in run.after.items():
        before = run.before[name]
        rows.append(
            {
                "name": name,
                "group": group_of(run.sources.get(name, ""), after["n_train"]),
                "source": run.sources.get(name, "unknown"),
                "task": after["task"],
                "n": after["n"],
                "n_train": after["n_train"],
                "baseline": after["baseline"],
                "baseline_answer": after["baseline_answer"],
                "before": before["accuracy"],
                "before_low": before["wilson"][0],
                "before_high": before["wilson"][1],
                "after": after["accuracy"],
                "after_low": after["wilson"][0],
                "after_high": after["wilson"][1],
                "unparsed": after["unparsed"],
                "truncated": after["truncated"],
                "thinking": after["thinking_tokens_mean"],
                "thinking_right": after["thinking_tokens_right"],
                "thinking_wrong": after["thinking_tokens_wrong"],
            }
        )
    return rows


def _settings(run: Run) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return (folder, identity, its settings as text), in the order of the stages."""
    return [(name, manifest.identity, setting_rows(manifest.config)) for name, manifest in run.manifests.items()]
