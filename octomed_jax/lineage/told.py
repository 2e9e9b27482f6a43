"""A walk from a training row to its source as a tree that a person reads."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text
from rich.tree import Tree

from octomed_jax.lineage.walk import Walk
from octomed_jax.manifests import COMMANDS, flatten

TITLES = {
    "train": "training run",
    "render": "rendering",
    "shard": "shards",
    "verify": "traces",
    "distill": "attempts",
    "curate": "curated questions",
    "questions": "questions",
}
MOST_SETTINGS = 6  # shown of a stage; --json has all
LONG = 60  # characters of a value that no longer shares a line, or is cut
MOST_CHARACTERS = 480


def tree_of(walk: Walk) -> Tree:
    """Return a walk as a tree: the row first, then each stage, the last one first."""
    root = Tree(Text(walk.question if walk.sample is None else f"{walk.question}:{walk.sample}", style="bold"))
    if walk.rows:
        _add_rows(root.add(Text("attempts at it")), walk)
    for stage in walk.stages:
        _add_stage(root, stage)
    for line in walk.missing:
        root.add(Text(line, style="yellow"))
    return root


def _add_rows(branch: Tree, walk: Walk) -> None:
    for row in walk.rows:
        attempt, verdict = row["attempt"], row["verdict"]
        where = f", response {row['response']}" if "response" in row else ""
        colour = {"in the shards": "green", "rejected": "red"}.get(row["became"], "yellow")
        line = Text.assemble(f"sample {row['sample']}: ", (f"{row['became']}{where}", colour))
        mine = branch.add(line + Text(f"; {row['why']}" if row["why"] else ""))
        by = "a judge model" if verdict["judge"] else f"verifier {verdict['verifier']}"
        mine.add(
            _text(f"{verdict['verdict']} ({verdict['reason']}) by {by}; read: {verdict['extracted'] or 'nothing'}")
        )
        mine.add(
            _text(
                f"by {attempt['teacher']}; request {attempt['request_hash']} (group {attempt['group']}), "
                f"seed {_or_unknown(attempt['seed'], -1)}; finished: {attempt['finish_reason']}; "
                f"{attempt['completion_tokens']} tokens, {row['characters']} characters"
            )
        )
        if attempt["error"]:
            mine.add(_text(f"error: {attempt['error']}"))
        if attempt["option_order"]:
            order = " ".join(map(str, attempt["option_order"]))
            mine.add(_text(f"options shown in the order {order}: {'; '.join(row['options'])}"))


def _or_unknown(value: int, unknown: int) -> str:
    return "unknown" if value == unknown else str(value)


def _add_stage(root: Tree, stage: Mapping[str, Any]) -> None:
    title = TITLES.get(stage["stage"], stage["stage"])
    branch = root.add(Text.assemble((title, "bold"), f"  {stage['folder']}  (identity {stage['identity']})"))
    if not stage["row"]:
        branch.add(Text("does not hold it", style="yellow"))
        return
    for name, value in _facts(stage["row"]):
        branch.add(_text(f"{name}: {value}"))
    for teacher in stage.get("teachers", ()):
        branch.add(
            _text(f"teacher {teacher['name']}: {teacher['model']}, takes {teacher['takes']}; {teacher['terms']}")
        )
    licences = ", ".join(stage["licences"])
    branch.add(
        _text(
            f"made by `octomed {COMMANDS.get(stage['stage'], stage['stage'])}` {stage['code_version']}, commit "
            f"{stage['code_commit'][:12]}" + (f"; {stage['access']}; {licences}" if licences else "")
        )
    )
    settings = [f"{name}={_brief(value)}" for name, value in flatten(stage["config"]).items()]
    more = f" and {len(settings) - MOST_SETTINGS} more" if len(settings) > MOST_SETTINGS else ""
    branch.add(_text("config: " + (", ".join(settings[:MOST_SETTINGS]) or "nothing") + more))


def _facts(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a stage knows of the question, a line each; short values share one, and empty ones are left out."""
    lines, short = [], []
    for name, value in row.items():
        shown = name.replace("_", " ")
        if value in ("", None) or (isinstance(value, Mapping | list) and not value):
            continue
        if isinstance(value, Mapping):
            lines.append((shown, "; ".join(f"{key} {_plain(one)}" for key, one in value.items() if one != "")))
        elif isinstance(value, list):
            lines.append((shown, ", ".join(map(_plain, value))))
        elif name == "question" or (isinstance(value, str) and len(value) > LONG):
            lines.append((shown, value))
        else:
            short.append(f"{shown} {_plain(value)}")
    return ([("row", ", ".join(short))] if short else []) + lines


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(one)}" for name, one in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _brief(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], Mapping) and "step" in value[0]:
        value = [one["step"] for one in value]  # of a curation
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= LONG else f"{text[: LONG - 3]}..."


def _text(line: str) -> Text:
    """Return a line of data: what is drawn on a terminal is letters only, and no tags."""
    flat = "".join(one if one.isprintable() else " " for one in line)
    return Text(flat if len(flat) <= MOST_CHARACTERS else flat[: MOST_CHARACTERS - 3] + "...")
