"""The text of a compiled program (XLA's HLO): its computations, their instructions, and the bytes of types."""

import dataclasses
import math
import re

ITEM_BYTES = {"pred": 1, "s4": 0.5, "u4": 0.5, "bf16": 2, "token": 0}  # the others end in their bits


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a program: ``name = type opcode(operands), attributes``."""

    name: str
    type: str
    opcode: str
    operands: tuple[str, ...]
    attributes: str
    root: bool

    def called(self, role: str) -> str | None:
        """Return the computation that it names as ``calls``, ``body``, ``condition`` or ``to_apply``."""
        found = re.search(rf"\b{role}=%?([\w.\-]+)", self.attributes)
        return found[1] if found else None


Computation = dict[str, Instruction]


def parse(text: str) -> tuple[dict[str, Computation], str]:
    """Return the computations of a program by name, and the name of the first one to run."""
    computations: dict[str, Computation] = {}
    entry, here = "", {}
    for line in text.splitlines():
        if line.endswith("{") and (head := re.match(r"(ENTRY )?%?([\w.\-]+) \(", line)):
            here = computations.setdefault(head[2], {})
            entry = head[2] if head[1] else entry
        elif found := re.match(r"\s+(ROOT )?%?([\w.\-]+) = ", line):
            instruction = _instruction(found[2], bool(found[1]), line[found.end() :])
            here[instruction.name] = instruction
    return computations, entry


def _instruction(name: str, root: bool, rest: str) -> Instruction:
    end = _closing(rest, 0) + 1 if rest.startswith("(") else rest.index(" ")
    opening = rest.index("(", end)
    closing = _closing(rest, opening)
    operands = tuple(re.findall(r"%([\w.\-]+)", rest[opening:closing])) or _bare(rest[opening + 1 : closing])
    return Instruction(name, rest[:end], rest[end:opening].strip(), operands, rest[closing + 1 :], root)


def _bare(operands: str) -> tuple[str, ...]:
    """Return what stands between the brackets of a constant or a parameter: its value or number."""
    return (operands.strip(),) if operands.strip() else ()


def _closing(text: str, opening: int) -> int:
    """Return where the bracket at ``opening`` closes."""
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] == "(") - (text[at] == ")")
        if depth == 0:
            return at
    raise ValueError(f"a bracket does not close: {text[:80]}")


def arrays_of(type_: str) -> list[tuple[str, tuple[int, ...], bool]]:
    """Return dtype, shape and whether it lies in the device's memory (not in its caches) of each array of a type."""
    found = re.findall(r"([a-z]+\d*\w*)\[([\d,]*)\]((?:\{[^{}]*\})?)", type_)
    return [
        (dtype, tuple(int(size) for size in sizes.split(",") if size), not re.search(r"S\([1-9]\)", layout))
        for dtype, sizes, layout in found
    ]


def bytes_of(type_: str, *, everywhere: bool = False) -> float:
    """Return the bytes of a type's arrays; of those in the device's memory only, or ``everywhere``."""
    return sum(
        math.prod(shape) * item_bytes(dtype) for dtype, shape, in_memory in arrays_of(type_) if in_memory or everywhere
    )


def item_bytes(dtype: str) -> float:
    """Return the bytes of one value."""
    bits = re.search(r"\d+", dtype)
    return ITEM_BYTES[dtype] if dtype in ITEM_BYTES else int(bits[0]) / 8 if bits else 4
