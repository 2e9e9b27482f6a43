"""What a compiled program does: its products, its memory traffic and its messages, read from XLA's text.

XLA's own cost analysis counts the body of a loop once, and knows no Pallas kernel. Here a loop's body counts as often
as the loop runs, and kernels count by what they are given. All figures are those of one device.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from octomed_jax.training.planning.hlo import Computation, Instruction, arrays_of, bytes_of, parse

# What moves nothing through the device's memory by itself.
FREE = frozenset(
    ["parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional", "call", "after-all"]
    + ["iota", "partition-id", "replica-id", "optimization-barrier", "domain", "add-dependency", "copy-done"]
    + ["all-gather-done", "all-reduce-done", "collective-permute-done", "async-done", "async-update", "send-done"]
    + ["recv-done"]
)
MESSAGES = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute", "send")
SLICES = ("dynamic-slice", "slice", "gather")
ALLOCATIONS = ("AllocateBuffer", "AssumeGatherIndicesInBound", "GatherScatterIndicesBitpacked")
KERNEL = "tpu_custom_call"
# Products of [queries, keys] x features in a kernel of splash attention: scores and values; five in its gradient.
SPLASH_PRODUCTS = {"splash_mha_fwd": 2, "splash_mha_dkv": 5, "splash_mha_dq": 3}


@dataclasses.dataclass(frozen=True)
class Message:
    """A collective: what it is, what a device receives by it, between whom, how often, and where it comes from."""

    kind: str
    bytes: float
    group: tuple[int, ...]
    times: int
    scope: str


@dataclasses.dataclass(frozen=True)
class Done:
    """What one instruction does: products' operations, bytes of memory read and written, and how often it runs."""

    name: str
    flops: float
    bytes: float
    times: int


@dataclasses.dataclass(frozen=True)
class Program:
    """What a program does on one device.

    Attributes:
        done: its instructions.
        messages: its collectives.
        kernels: names of its Pallas kernels, and how often each runs.
        unknown_loops: loops whose length the text does not tell.
    """

    done: tuple[Done, ...]
    messages: tuple[Message, ...]
    kernels: Mapping[str, int]
    unknown_loops: int

    @property
    def flops(self) -> float:
        """Operations of all products."""
        return sum(one.flops * one.times for one in self.done)

    @property
    def bytes(self) -> float:
        """Bytes of memory read and written."""
        return sum(one.bytes * one.times for one in self.done)


def read_program(
    text: str, causal: Callable[[str], bool] = lambda scope: "causal_attention" in scope, trips: int = 1
) -> Program:
    """Return what a compiled program does.

    Args:
        text: ``Compiled.as_text()``.
        causal: whether an attention kernel of this scope (``op_name``) leaves out later keys.
        trips: how often loops run whose length the text does not tell.
    """
    computations, entry = parse(text)
    reader = _Reader(computations, causal, trips)
    reader.read(entry, 1)
    return Program(tuple(reader.done), tuple(reader.messages), reader.kernels, reader.unknown_loops)


class _Reader:
    def __init__(self, computations: Mapping[str, Computation], causal: Callable[[str], bool], trips: int):
        self._computations, self._causal, self._trips = computations, causal, trips
        self.done: list[Done] = []
        self.messages: list[Message] = []
        self.kernels: dict[str, int] = {}
        self.unknown_loops = 0

    def read(self, name: str, times: int) -> None:
        """Note what a computation does that runs so often."""
        computation = self._computations[name]
        for one in computation.values():
            if one.opcode == "while":
                self.read(str(one.called("body")), times * self._length(one))
            elif one.opcode == "conditional":
                for branch in re.findall(
                    r"%([\w.\-]+)", one.attributes.split("branch_computations=")[-1].split("}")[0]
                ):
                    self.read(branch, times)
            elif one.opcode in ("call", "async-start"):
                self.read(str(one.called("to_apply") or one.called("calls")), times)
            elif one.opcode not in FREE:
                self._note(one, computation, times)

    def _note(self, one: Instruction, computation: Computation, times: int) -> None:
        if "custom_call_target" in one.attributes and any(name in one.attributes for name in ALLOCATIONS):
            return
        if (message := _message(one, computation, times)) is not None:
            self.messages.append(message)
        flops = self._flops(one, computation)
        if KERNEL in one.attributes:
            name = re.split(r"\.\d+$", one.name)[0]
            self.kernels[name] = self.kernels.get(name, 0) + times
        if one.opcode == "fusion":
            inner = self._computations[str(one.called("calls"))]
            flops += self._inside(inner, times)
        self.done.append(Done(one.name, flops, self._traffic(one, computation), times))

    def _inside(self, computation: Computation, times: int) -> float:
        """Return the operations of what is fused, and note the collectives that are."""
        total = 0.0
        for one in computation.values():
            total += self._flops(one, computation)
            if one.opcode == "fusion":
                total += self._inside(self._computations[str(one.called("calls"))], times)
            if message := _message(one, computation, times):
                self.messages.append(_scattered(message, computation))
        return total

    def _flops(self, one: Instruction, computation: Computation) -> float:
        if one.opcode == "convolution":
            return _convolution_flops(one, computation)
        if one.opcode == "dot":
            return _dot_flops(one, computation)
        if one.opcode == "custom-call" and KERNEL in one.attributes:
            return self._kernel_flops(one, computation)
        return 0.0

    def _kernel_flops(self, one: Instruction, computation: Computation) -> float:
        """Return the operations of an attention kernel: [H, queries, E] and [K, keys, E] are its first two matrices."""
        products = next((count for name, count in SPLASH_PRODUCTS.items() if name in one.name), None)
        if products is None:
            return 0.0
        shapes = [shape for name in one.operands for _, shape, _ in arrays_of(computation[name].type)]
        matrices = [shape for shape in shapes if len(shape) >= 3 and shape[-1] % 128 == 0 and shape[-2] > 8]
        (*heads, queries, width), (*_, keys, _) = matrices[0], matrices[1]
        pairs = math.prod(heads) * queries * keys / (2 if self._causal(one.attributes) else 1)
        return 2 * products * pairs * width

    def _length(self, loop: Instruction) -> int:
        """Return how often a loop runs: a counter from 0, by steps of a constant, up to a constant."""
        if known := re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.attributes):
            return int(known[1])
        condition = self._computations[str(loop.called("condition"))]
        end = next(one for one in condition.values() if one.root)
        numbers = [self._constant(name, condition) for name in end.operands]
        known_numbers = [number for number in numbers if number is not None]
        if len(known_numbers) == 1 and ("direction=LT" in end.attributes or end.opcode == "fusion"):
            return -(-known_numbers[0] // self._step(loop, condition, end))
        self.unknown_loops += 1
        return self._trips

    def _step(self, loop: Instruction, condition: Computation, end: Instruction) -> int:
        """Return by how much a loop's counter grows; unrolled loops count by more than one."""
        counter = next(
            (condition[name] for name in end.operands if condition[name].opcode == "get-tuple-element"), None
        )
        place = re.search(r"index=(\d+)", counter.attributes) if counter else None
        body = self._computations[str(loop.called("body"))]
        new = next(one for one in body.values() if one.root)
        if place is None or new.opcode != "tuple":
            return 1
        grown = body.get(new.operands[int(place[1])])
        steps = [self._constant(name, body) for name in grown.operands] if grown and grown.opcode == "add" else []
        return next((step for step in steps if step), 1)

    def _constant(self, name: str, computation: Computation) -> int | None:
        one = computation.get(name)
        return int(one.operands[0]) if one and one.opcode == "constant" and one.operands[0].isdigit() else None

    def _traffic(self, one: Instruction, computation: Computation) -> float:
        """Return the bytes of memory that an instruction reads and writes."""
        types = [computation[name].type for name in one.operands if name in computation]
        if one.opcode in SLICES:
            return 2 * bytes_of(one.type)
        if one.opcode == "dynamic-update-slice":
            return 2 * bytes_of(types[1])
        if one.opcode != "fusion":
            return sum(map(bytes_of, types)) + bytes_of(one.type)
        inner = self._computations[str(one.called("calls"))]
        read = sum(self._read(inner, number, type_) for number, type_ in enumerate(types))
        return read + self._written(inner, one.type)

    def _read(self, inner: Computation, number: int, type_: str) -> float:
        """Return how much of its operand ``number`` a fused computation reads."""
        if not bytes_of(type_):
            return 0.0
        name = next(one.name for one in inner.values() if one.opcode == "parameter" and one.operands[0] == str(number))
        return min(bytes_of(type_), self._used(inner, name, bytes_of(type_)))

    def _used(self, inner: Computation, name: str, whole: float) -> float:
        total = 0.0
        for user in (one for one in inner.values() if name in one.operands):
            if user.opcode in SLICES:
                total += bytes_of(user.type, everywhere=True)
            elif user.opcode == "dynamic-update-slice" and user.operands[0] == name:
                continue  # in place
            elif user.opcode == "bitcast":
                total += self._used(inner, user.name, whole)
            elif user.opcode == "fusion":
                nested = self._computations[str(user.called("calls"))]
                total += sum(
                    self._read(nested, at, inner[name].type) for at, own in enumerate(user.operands) if own == name
                )
            else:
                return whole
        return total

    def _written(self, inner: Computation, type_: str) -> float:
        """Return how much of its result a fused computation writes: of an update in place, the new part."""
        root = next(one for one in inner.values() if one.root)
        while root.opcode == "bitcast":
            root = inner[root.operands[0]]
        if root.opcode == "dynamic-update-slice":
            return bytes_of(inner[root.operands[1]].type, everywhere=True) if bytes_of(type_) else 0.0
        if root.opcode == "tuple":
            parts = [inner[name] for name in root.operands]
            return sum(
                bytes_of(inner[part.operands[1]].type, everywhere=True)
                if part.opcode == "dynamic-update-slice"
                else bytes_of(part.type)
                for part in parts
            )
        return bytes_of(type_)


def _dot_flops(one: Instruction, computation: Computation) -> float:
    left = arrays_of(computation[one.operands[0]].type)[0][1]
    contracted = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", one.attributes)
    inner = math.prod(left[int(axis)] for axis in contracted[1].split(",") if axis) if contracted else 1
    return 2.0 * inner * math.prod(arrays_of(one.type)[0][1])


def _convolution_flops(one: Instruction, computation: Computation) -> float:
    """Return the operations of a product that XLA writes as a convolution; axes of a batch are spatial there."""
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", one.attributes)
    if labels is None:
        return 0.0
    left, right = [arrays_of(computation[name].type)[0][1] for name in one.operands[:2]]
    out = arrays_of(one.type)[0][1]
    window = dict(re.findall(r"(\w+)=([\w\-]+)", (re.search(r"window=\{([^}]*)\}", one.attributes) or ["", ""])[1]))
    pairs = 1
    for place in sorted(label for label in labels[2] if label.isdigit()):
        at = int(place)
        pairs *= _valid_pairs(
            left[labels[1].index(place)],
            right[labels[2].index(place)],
            out[labels[3].index(place)],
            *[_window(window, key, at, default) for key, default in _WINDOW],
        )
    features = math.prod(right[labels[2].index(label)] for label in "io")
    return 2.0 * pairs * features * out[labels[3].index("b")]


_WINDOW = (("stride", 1), ("lhs_dilate", 1), ("rhs_dilate", 1), ("pad", 0))


def _window(window: Mapping[str, str], key: str, at: int, default: int) -> int:
    return int(window[key].split("x")[at].split("_")[0]) if key in window else default


def _valid_pairs(left: int, kernel: int, out: int, stride: int, left_dilate: int, dilate: int, pad: int) -> int:
    """Return along one axis how many (result, kernel) places meet a value and not padding."""
    at = np.arange(out)[:, None] * stride + np.arange(kernel)[None] * dilate - pad
    return int(((at >= 0) & (at % left_dilate == 0) & (at // left_dilate < left)).sum())


def _message(one: Instruction, computation: Computation, times: int) -> Message | None:
    kind = one.opcode.removesuffix("-start")
    if kind not in MESSAGES:
        return None
    group = _group(one.attributes)
    count = len(group)
    given = sum(bytes_of(computation[name].type, everywhere=True) for name in one.operands if name in computation)
    factors = {
        "all-gather": count - 1,
        "all-reduce": 2 * (count - 1) / count,
        "reduce-scatter": (count - 1) / count,
        "all-to-all": (count - 1) / count,
        "collective-permute": 1,
        "send": 1,
    }
    return Message(kind, given * factors[kind], group, times, _scope(one.attributes))


def _scattered(message: Message, computation: Computation) -> Message:
    """Return an all-reduce of which every device keeps a part as what it is: a reduce-scatter."""
    root = next(one for one in computation.values() if one.root)
    if message.kind == "all-reduce" and root.opcode in ("dynamic-slice", "fusion", "bitcast"):
        return dataclasses.replace(message, kind="reduce-scatter", bytes=message.bytes / 2)
    return message


def _scope(attributes: str) -> str:
    found = re.search(r'op_name="([^"]*)"', attributes)
    return found[1] if found else ""


def _group(attributes: str) -> tuple[int, ...]:
    """Return the devices, by their place in the program's order, that exchange with the first one."""
    if found := re.search(rf"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\({_ORDER}\))? \{{([^}}]*)\}}", attributes):
        sizes = {name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", found[1])}
        chosen = set(re.findall(r"'(\w+)'", found[4]))
        order = found[2] or str(math.prod(sizes.values()))
        places = _ordered(order, found[3]).reshape(list(sizes.values()))
        return tuple(places[tuple(slice(None) if name in chosen else 0 for name in sizes)].ravel().tolist())
    if found := re.search(rf"replica_groups=\[([\d,]+)\]<={_ORDER}", attributes):
        return tuple(_ordered(found[2], found[3]).reshape(_numbers(found[1]))[0].tolist())
    if found := re.search(r"(?:replica_groups|source_target_pairs)=\{\{([\d,]+)\}", attributes):
        return tuple(int(number) for number in found[1].split(","))
    return (0, 1)


_ORDER = r"\[([\d,]+)\](?:T\(([\d,]+)\))?"


def _ordered(sizes: str, axes: str | None) -> np.ndarray:
    """Return the numbers from 0 in this shape, its axes in another order."""
    places = np.arange(math.prod(_numbers(sizes))).reshape(_numbers(sizes))
    return places.transpose(_numbers(axes)) if axes else places


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def totals(messages: Sequence[Message]) -> dict[str, dict[str, float]]:
    """Return by kind how many messages there are in a run of the program, and how many bytes a device receives."""
    kinds: dict[str, dict[str, float]] = {}
    for message in messages:
        total = kinds.setdefault(message.kind, {"count": 0, "bytes": 0.0})
        total["count"] += message.times
        total["bytes"] += message.bytes * message.times
    return kinds
