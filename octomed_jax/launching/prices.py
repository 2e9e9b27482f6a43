"""What chips cost: a dated table (``prices.json``), which the user can replace. All that comes of it is an estimate."""

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from octomed_jax import storage
from octomed_jax.errors import UserError
from octomed_jax.launching.accelerators import ACCELERATORS
from octomed_jax.launching.read_spec import CAPACITIES
from octomed_jax.launching.spec import JobSpec

TABLE = Path(__file__).parent / "prices.json"
FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Prices:
    """A table of prices.

    Attributes:
        currency: of all of them.
        read: the day on which they were read.
        source: where they were.
        per_chip_hour: accelerator, region and capacity to the price of a chip for an hour.
    """

    currency: str
    read: str
    source: str
    per_chip_hour: Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclasses.dataclass(frozen=True)
class Line:
    """A part of a job and what it costs.

    Attributes:
        what: in words.
        per_hour: lowest and highest of the regions it may lie in; None: the table does not say.
        why: there is none.
    """

    what: str
    per_hour: tuple[float, float] | None
    why: str = ""


def read_prices(path: Path = TABLE) -> Prices:
    """Read a table of prices.

    Raises:
        UserError: no such file, or it is not as ``prices.json`` is.
    """
    if not path.is_file():
        raise UserError(f"no such price table: {path}; copy {TABLE} and change it")
    try:
        table = storage.read_json(path)
    except Exception as error:
        raise UserError(f"{path} is no JSON: {' '.join(str(error).split())}") from error
    if not isinstance(table, dict) or table.get("format_version") != FORMAT_VERSION:
        raise UserError(f"{path} is no price table with format_version {FORMAT_VERSION}; compare it with {TABLE}")
    for name in ("currency", "read", "source"):
        if not isinstance(table.get(name), str) or not table[name]:
            raise UserError(f"{path} lacks {name!r}, a text; compare it with {TABLE}")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", table["read"]):
        raise UserError(f"{path}: read={table['read']!r} must be the day on which the prices were read, YYYY-MM-DD")
    _check_rows(path, table.get("per_chip_hour"))
    return Prices(table["currency"], table["read"], table["source"], table["per_chip_hour"])


def _check_rows(path: Path, rows: Any) -> None:
    if not isinstance(rows, dict) or not rows:
        raise UserError(f"{path} lacks 'per_chip_hour'; compare it with {TABLE}")
    for accelerator, regions in rows.items():
        if accelerator not in ACCELERATORS or not isinstance(regions, dict):
            raise UserError(
                f"{path}: per_chip_hour.{accelerator} is none of {', '.join(ACCELERATORS)} with its regions"
            )
        for region, prices in regions.items():
            where = f"{path}: per_chip_hour.{accelerator}.{region}"
            if not isinstance(prices, dict):
                raise UserError(f"{where} must hold prices by capacity: {', '.join(CAPACITIES)}")
            for capacity, price in prices.items():
                number = isinstance(price, (int, float)) and not isinstance(price, bool) and 0 <= price < math.inf
                if capacity not in CAPACITIES or not number:
                    raise UserError(f"{where}.{capacity}={price!r}: a price of {', '.join(CAPACITIES)} is needed")


def region_of(zone: str) -> str:
    """Return the region of a zone, such as us-east5 of us-east5-b; a region is one already."""
    return re.sub(r"-[a-z]+\d*[a-z]?$", "", zone) if re.search(r"\d-[a-z]", zone) else zone


def lines(spec: JobSpec, prices: Prices, teacher_aside: bool = True) -> list[Line]:
    """Return what a job pays for; a teacher that is not aside runs on what the job pays for already."""
    machine = ACCELERATORS[spec.accelerator]
    if machine.resource:
        chips = f"{spec.chips} chips {spec.accelerator}, {spec.capacity}"
        found = [_line(chips, spec.accelerator, spec.capacity, spec.chips, spec.zone, prices)]
    else:
        found = [_line(f"{spec.hosts} hosts without chips", "cpu", spec.capacity, spec.hosts, spec.zone, prices)]
    if teacher_aside and (teacher := spec.teacher):
        gpus = teacher.gpus * teacher.nodes * teacher.replicas
        what = f"{gpus} GPUs {teacher.accelerator} of the teacher, on_demand"
        found.append(_line(what, teacher.accelerator, "on_demand", gpus, spec.zone, prices))
    return found


def _line(what: str, accelerator: str, capacity: str, count: int, zone: str, prices: Prices) -> Line:
    regions = prices.per_chip_hour.get(accelerator, {})
    region = region_of(zone)
    if region:
        what, regions = f"{what}, {region}", {region: regions[region]} if region in regions else {}
    else:
        what = f"{what}, any region (zone is not set)"
    each = [one[capacity] for one in regions.values() if capacity in one]
    if not each and capacity == "reserved":
        # What a commitment takes off is between the user and the cloud.
        each = [one["on_demand"] for one in regions.values() if "on_demand" in one]
        what = f"{what}, at the on-demand price"
    if not each:
        return Line(what, None, f"the table of {prices.read} has no price; give your own with --prices=FILE")
    return Line(what, (min(each) * count, max(each) * count))
