"""README.md of a data set that `octomed data write` wrote: what the hub reads of it, and what its readers must know."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from octomed_jax import licences
from octomed_jax.plain_text import plain
from octomed_jax.questions.packages.registry import SOURCES
from octomed_jax.questions.registry import ADAPTERS
from octomed_jax.traces.published import COLUMNS, features

if TYPE_CHECKING:
    from octomed_jax.traces.publish import Contents

CARD = "README.md"
# Licences that the hub knows by name: their SPDX ids in lower case. Others are called "other" there.
HUB_LICENCES = {
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0",
    "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0",
    "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "gpl-2.0", "gpl-3.0",
    "lgpl-3.0", "agpl-3.0", "mpl-2.0", "odc-by", "odbl", "pddl", "unlicense", "unknown",
}  # fmt: skip


def write_card(contents: "Contents", teachers: Sequence[Mapping[str, Any]], accepted: bool) -> str:
    """Return README.md.

    Args:
        contents: what the files hold.
        teachers: who wrote the responses, as the manifest of the traces has them.
        accepted: whether it has responses, all accepted by the verifier.
    """
    head = yaml.safe_dump(_front_matter(contents), sort_keys=False, allow_unicode=True)
    parts = [
        f"---\n{head}---",
        "# Medical questions with verified responses" if accepted else "# Medical questions",
        _what(accepted, contents.unchecked),
        _access(contents),
        _release(contents),
        _table(contents),
        _terms(contents),
        _origins(contents),
        _teachers(teachers) if accepted else "",
        _fields(accepted),
        "`manifest.json` names every file by SHA-256, and the folders that the set was made of.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(contents: "Contents") -> dict[str, Any]:
    names = sorted({name.lower() for counts in contents.licences.values() for name in counts})
    known = sorted({name if name in HUB_LICENCES else "other" for name in names})
    licence: dict[str, Any] = {"license": known[0] if len(known) == 1 else known}
    if "other" in known:
        licence["license_name"] = "see-card"
    columns = [
        {"name": name, "sequence": kind} if is_list else {"name": name, "dtype": kind}
        for name, kind, is_list in features(contents.several_images)
    ]
    splits = [
        {"name": split, "num_bytes": contents.sizes[split], "num_examples": contents.rows[split]}
        for split in contents.paths
    ]
    files = [{"split": split, "path": f"data/{split}-*"} for split in contents.paths]
    return {
        **licence,
        "tags": ["medical", "octomed_jax", *_marks(contents)],
        "dataset_info": {"features": columns, "splits": splits},
        "configs": [{"config_name": "default", "data_files": files}],
    }


def _what(accepted: bool, unchecked: "Counter[str]") -> str:
    lines = ["Written by `octomed data write` in the schema of OctoMed's published sets. Not for clinical use."]
    if accepted:
        lines.append(
            "Every response was accepted by a verifier, which checks its final answer against the gold and nothing "
            "else: the reasoning above it may be wrong."
        )
    if shown := ", ".join(f"{plain(source)} ({count})" for source, count in sorted(unchecked.items())):
        lines.append(
            f"Not so {shown}: no gold is published there, and these responses were taken as they are, unchecked."
        )
    return "\n".join(lines)


def _credentialed(contents: "Contents") -> list[str]:
    return sorted(source for source, access in contents.access.items() if access != "open")


def _access(contents: "Contents") -> str:
    if not (sources := _credentialed(contents)):
        return "Access class: open."
    return (
        f"**Access class: credentialed.** Rows of {', '.join(map(plain, sources))} are bound by a data use agreement. "
        "Share this set with nobody who has not signed it, and put it on no public hub."
    )


def _marks(contents: "Contents") -> list[str]:
    marks = {"credentialed": bool(_credentialed(contents)), "not-for-release": contents.not_for_release}
    return [name for name, holds in marks.items() if holds]


def _release(contents: "Contents") -> str:
    if not contents.not_for_release:
        return ""
    return "**Not for release.** Whoever wrote this set marked it so: keep it, and put it on no public hub."


def _terms(contents: "Contents") -> str:
    # Who is credentialed is said above.
    lines = licences.notes(contents.licences)
    return "\n".join(["## What the licences ask", "", *(f"- {line}" for line in lines)]) if lines else ""


def _table(contents: "Contents") -> str:
    lines = ["| source | train | test | responses | licences | access |", "| --- | ---: | ---: | ---: | --- | --- |"]
    for source, counted in sorted(contents.licences.items()):
        train, test = (contents.questions.get(split, Counter())[source] for split in ("train", "test"))
        named = ", ".join(f"{plain(name)} ({count})" for name, count in sorted(counted.items()))
        lines.append(
            f"| {plain(source)} | {train} | {test} | {contents.responses[source]} | {named} | "
            f"{contents.access[source]} |"
        )
    return "\n".join(["## Sources", "", *lines, "", "`train` and `test` count questions."])


def _origins(contents: "Contents") -> str:
    lines = []
    for source in sorted(contents.licences):
        if source in ADAPTERS:
            lines.append(
                f"- {source} ({ADAPTERS[source].title}): <{ADAPTERS[source].home}>; {ADAPTERS[source].citation}"
            )
        elif source in SOURCES:
            lines.append(f"- {source}: {SOURCES[source].attribution}")
    return "\n".join(["Made by others, and to be cited as such:", "", *lines]) if lines else ""


def _teachers(teachers: Sequence[Mapping[str, Any]]) -> str:
    lines = ["## Who wrote the responses", ""]
    for teacher in teachers:
        kind = " (a program that knows the answers, no model)" if teacher["programmatic"] else ""
        lines.append(f"- {plain(teacher['model'])}{kind}; terms: {plain(teacher['terms']) or 'not stated'}")
    return "\n".join(lines if teachers else [*lines, "Not stated."])


def _fields(accepted: bool) -> str:
    first = list(COLUMNS)[:6]
    lines = [
        "## Columns",
        "",
        f"{', '.join(f'`{name}`' for name in first)} are as OctoMed has them; `image_hash` is SHA-256. The others are "
        "those of a questions folder.",
    ]
    if accepted:
        lines.append(
            "Letters in `responses` belong to `options` as they stand in that row. A question that was shown with its "
            "options in several orders stands in several rows of one `id`: place p of `options` holds option "
            "`option_order[p]` of the source."
        )
    again = " --attempts=RUN/attempts --teacher=NAME" if accepted else ""
    lines += ["", f"    octomed questions build --source=octomed --input=DIR --output=RUN/questions{again}"]
    return "\n".join(lines)
