"""The commands that a page prints, with what they print: in fences marked ``console``, each after a ``$``."""

import dataclasses
import re
import shlex
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Printed:
    """A command of a page, and the output below it; a line ``...``, or one that ends so, stands for any text."""

    line: str
    output: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line)


def printed(page: Path) -> list[Printed]:
    """Return the commands of a page in their order."""
    found: list[Printed] = []
    for block in re.findall(r"^```console\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        lines = re.sub(r"\\\n\s*", "", block).splitlines()
        assert lines[0].startswith("$ "), f"{page.name}: a block begins with {lines[0]!r}"
        for line in lines:
            if line.startswith("$ "):
                found.append(Printed(line[2:], ()))
            else:
                found[-1] = dataclasses.replace(found[-1], output=(*found[-1].output, line))
    return found


def missing_from(output: tuple[str, ...], real: str, numbers: bool = True) -> list[str]:
    """Return the printed lines that are not in the real output, in their order; spaces and line breaks do not count.

    Args:
        output: of the page.
        real: what the command has printed.
        numbers: whether numbers must be the same; those of a compiler change with its version.
    """

    def same(text: str) -> str:
        text = " ".join(text.split())
        return text if numbers else re.sub(r"\d[\d,.]*", "#", text)

    rest, lost = same(real), []
    for line in output:
        wanted = same(line.removesuffix("..."))
        if wanted and wanted not in rest:
            lost.append(line)
        rest = rest.partition(wanted)[2] if wanted else rest
    return lost
