"""What was planted and what was found of it, as one table of recall and precision by kind: printed, and held to."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class Found(NamedTuple):
    """Something that was taken for a copy: what kind it is, and whether it was taken for a copy of the right one."""

    kind: str
    right: bool


def check(
    title: str,
    planted: Mapping[str, int],
    found: Iterable[Found],
    wanted: Sequence[str],
    least: Mapping[str, float] | None = None,
) -> None:
    """Print a row for each kind, and hold recall and precision of each to 1.

    Args:
        title: of the table.
        planted: how many there are of each kind, clean ones too.
        found: what was taken for a copy, each once.
        wanted: the kinds that must be found; of the others none must be.
        least: recall of the kinds of which some may be missed.
    """
    found = list(found)
    width = max(map(len, planted))
    print(f"\n{title}\n{'kind':{width}}  planted  found  recall  precision")
    wrong = []
    for kind in [*wanted, *(kind for kind in planted if kind not in wanted)]:
        taken = [one for one in found if one.kind == kind]
        right = sum(one.right for one in taken)
        if kind in wanted:
            recall, precision = right / planted[kind], right / max(len(taken), 1)
            print(f"{kind:{width}}  {planted[kind]:7}  {len(taken):5}  {recall:6.4f}  {precision:9.4f}")
            wrong += [kind] * (recall < (least or {}).get(kind, 1) or precision < 1)
        else:
            print(f"{kind:{width}}  {planted[kind]:7}  {len(taken):5}  must not be found")
            wrong += [kind] * bool(taken)
    hits, all_wanted = sum(one.right for one in found if one.kind in wanted), sum(planted[kind] for kind in wanted)
    print(
        f"{'all':{width}}  {all_wanted:7}  {len(found):5}  {hits / all_wanted:6.4f}  {hits / max(len(found), 1):9.4f}"
    )
    assert not wrong, f"recall or precision of {', '.join(wrong)}"
    assert all(planted[kind] for kind in wanted)
    assert hits == len(found)
    assert hits == all_wanted or least
