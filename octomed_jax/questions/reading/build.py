"""The first stage for a published data set, or a file of one's own: its rows become a questions folder."""

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import Any

from etils import epath

from octomed_jax import manifests, progress, storage
from octomed_jax.errors import UserError
from octomed_jax.manifests import Manifest
from octomed_jax.progress import say
from octomed_jax.questions.adapter import Adapter, PassedOver, Split
from octomed_jax.questions.packages.build import CARD_FILE, STAGE, TEST_FILE, TRAIN_FILE
from octomed_jax.questions.reading.card import Contents, write_card
from octomed_jax.questions.reading.cells import cells_of
from octomed_jax.questions.reading.folder import Folder, Place
from octomed_jax.questions.reading.request import Request, settings_of
from octomed_jax.questions.reading.responses import Responses, read_responses
from octomed_jax.questions.reading.row_images import images_of
from octomed_jax.questions.reading.rows import Defaults, Given, clean_id, read_question
from octomed_jax.questions.reading.store import Store
from octomed_jax.schema import QUESTION_SCHEMA, question_to_row
from octomed_jax.storage import PathLike
from octomed_jax.traces.lake import open_writer
from octomed_jax.verification.rows import RowError

LEFT_OUT_FILE = "left_out.jsonl"
REASON_CHARACTERS = 400
MOST_NAMES = 20  # of columns that are not used


def build_from(request: Request, output: PathLike) -> Manifest:
    """Bring the rows of a data set into a finished questions folder, or return at once where that is done.

    The same rows give the same questions. Memory holds a few rows at a time.

    Args:
        request: what is read.
        output: folder for ``questions.parquet``, ``heldout.parquet``, ``card.md``, the manifest, and
            ``left_out.jsonl`` where rows were left out.

    Raises:
        UserError: the input cannot be read, too many of its rows cannot, rows contradict each other, or ``output``
            holds other work.
        TryAgain: the disk is full, or another process is at work there.
        StopAndLook: a file is damaged.
    """
    with Folder(request.adapter, request.source) as folder:
        splits = folder.splits(request.splits)
        settings = settings_of(request, folder, splits)
        if done := manifests.finished(output, STAGE, settings, {}):
            return done
        with (
            storage.staged_folder(output) as staged,
            storage.scratch_folder(staged) as scratch,
            Store(scratch) as store,
        ):
            return write_folder(staged, request, settings, store, fill(request, folder, splits, store))


def fill(request: Request, folder: Folder, splits: Mapping[str, Split], store: Store) -> "Counted":
    """Put all questions of a data set into a store, where those that cannot be used are left out.

    Raises:
        UserError: too many rows cannot be read, or rows contradict each other.
    """
    counted = Counted()
    for name, split in splits.items():
        _read(request, folder, name, split, store, counted)
    store.leave_out_rivals(request.adapter.content_ids)
    left_out = sum(store.count_left_out().values())
    _check_left_out(request, store, counted.rows, left_out)
    if not store.count():
        raise UserError(_none(request, counted, left_out))
    _note_shared(request.adapter, store, counted)
    if repeats := counted.repeats.total():
        say(f"{repeats:,} options stood twice in their question and are kept once")
    return counted


def _none(request: Request, counted: "Counted", left_out: int) -> str:
    """Return why a data set gives no question."""
    passed_over = [f"{count:,} are passed over ({reason})" for reason, count in counted.passed_over.most_common(3)]
    became = ", ".join(([f"{left_out:,} are left out"] if left_out else []) + passed_over) or "none asks anything"
    return f"{request.source} gives not one question: of {counted.rows:,} rows {became}; is it {request.adapter.name}?"


def write_folder(
    folder: epath.Path, request: Request, settings: Mapping[str, Any], store: Store, counted: "Counted"
) -> Manifest:
    """Write the finished questions folder of a store that was filled."""
    adapter, left_out = request.adapter, store.count_left_out()
    contents = _write(folder, store)
    _write_left_out(folder, store, left_out)
    card = write_card(adapter, contents, left_out, store.twice, store.unseen, counted.table())
    storage.write_text(folder / CARD_FILE, card)
    manifest = Manifest(
        stage=STAGE,
        config=settings,
        counts={
            **contents.table(),
            "rows": counted.rows,
            "twice": store.twice,
            "ids_respelt": store.respelt,
            "characters_taken_out": store.unseen,
            "dropped": {adapter.name: left_out} if left_out else {},
            **counted.table(),
        },
        files={path.name: storage.sha256_file(path) for path in sorted(folder.iterdir()) if not path.is_dir()},
        licences=tuple(sorted(contents.licences)),
        access="credentialed" if contents.access["credentialed"] else "open",
    )
    manifests.write_manifest(folder, manifest)
    if names := sorted(contents.without_gold):
        say(
            f"{contents.without_gold.total():,} questions have no gold: no response to them can be checked, and "
            f"`octomed verify` takes published ones only with --config.verify.trust={','.join(names)}"
        )
    return manifest


@dataclasses.dataclass
class Counted:
    """What was met while a data set was read.

    Attributes:
        rows: that stand in it, by published split.
        passed_over: why rows were not asked that are sound, to their number.
        shared: cluster, image or text to how many of them stand in both splits.
        repeats: options that stood twice in a question and are kept once, by published split.
    """

    by_split: "Counter[str]" = dataclasses.field(default_factory=Counter)
    passed_over: "Counter[str]" = dataclasses.field(default_factory=Counter)
    shared: "Counter[str]" = dataclasses.field(default_factory=Counter)
    repeats: "Counter[str]" = dataclasses.field(default_factory=Counter)

    @property
    def rows(self) -> int:
        """How many rows were read."""
        return self.by_split.total()

    def table(self) -> dict[str, Any]:
        """Return the counts as plain data, without those that are empty."""
        counts = {
            "published_splits": self.by_split,
            "passed_over": self.passed_over,
            "in_both_splits": self.shared,
            "repeated_options": self.repeats,
        }
        return {name: dict(sorted(count.items())) for name, count in counts.items() if count.total()}


def _read(request: Request, folder: Folder, name: str, split: Split, store: Store, counted: Counted) -> None:
    """Put the questions of a split into the store.

    Raises:
        UserError: there is no row.
    """
    adapter, before = request.adapter, counted.rows
    defaults = request.defaults(split)
    with progress.bar(f"reading {adapter.name}, {name}", *folder.length(name, split)) as line:
        for number, place in enumerate(islice(folder.places(name, split), request.limit)):
            counted.by_split[name] += 1
            line.advance(place.size)
            where = f"{folder.root / place.file} {place.counts} {place.number}"
            try:
                for given, responses in _questions(adapter, folder, place, where, name, number, defaults, store):
                    store.add(given, place, responses)
                    counted.repeats[name] += given.repeats
            except PassedOver as reason:
                counted.passed_over[_spellable(str(reason))] += 1
            except RowError as error:
                store.leave_out(place, error.column, _reason(error, where))
    read = counted.rows - before
    if not read:
        which = f" of the split {name}" if len(adapter.splits) > 1 else ""
        raise UserError(f"{request.source} holds no row{which}; give a file with questions")
    if adapter.content_ids and (unread := [column for column in folder.met if column not in adapter.columns]):
        say(f"columns that are not used: {', '.join(map(repr, unread[:MOST_NAMES]))}")
    if split.rows and not request.limit and read != split.rows:
        say(f"{read:,} rows of the split {name} were read; {split.rows:,} are published")


def _questions(
    adapter: Adapter,
    folder: Folder,
    place: Place,
    where: str,
    split: str,
    number: int,
    defaults: Defaults,
    store: Store,
) -> list[tuple[Given, Responses | None]]:
    """Return the questions of one place, all of them or none, each with its responses if the store keeps these.

    Raises:
        RowError: one of them cannot be used.
        PassedOver: they are not to be.
    """
    found = []
    file = folder.part(adapter.splits[split])
    before = f"{adapter.name}:{split}:{clean_id(file)}:" if file else f"{adapter.name}:{split}:"
    for part, cells in enumerate(cells_of(adapter, place, split, where, defaults.access)):
        if not adapter.content_ids:
            spelt = f"{before}{number:07d}" + (f"-{part}" if part else "")
            defaults = dataclasses.replace(defaults, place=spelt)
        if adapter.kind == "images" and not images_of(cells.get("image")):
            raise RowError(f"{where} has no image, which every question of {adapter.name} has", "image")
        try:
            given = read_question(cells, where, folder.read_image, store.image_of, defaults)
            found.append((given, read_responses(cells, where, given.option_order) if store.keeps_responses else None))
        except RecursionError as error:
            raise RowError(f"{where} holds lists within lists without end; remove it", "row") from error
    return found


def _reason(error: RowError, where: str) -> str:
    return _spellable(str(error).removeprefix(where).lstrip(": ")[:REASON_CHARACTERS])


def _spellable(text: str) -> str:
    """Return a text that can be written: rows may hold half of a character."""
    return text.encode("utf-8", "backslashreplace").decode()


def _check_left_out(request: Request, store: Store, rows: int, left_out: int) -> None:
    """Allow only so many rows to be left out.

    Raises:
        UserError: there are more; the first of them is named.
    """
    if left_out <= request.most_left_out * rows:
        return
    file, counts, number, reason = next(store.left_out())
    others = f"; so it is with {left_out - 1} more of {rows} {counts}s" if left_out > 1 else ""
    rule = f"{request.most_left_out:.1%} may be left out, more with --most-left-out"
    place = request.source / file if request.source.is_dir() else request.source
    raise UserError(f"{place} {counts} {number}: {reason} (nothing is written{others}; {rule})")


def _note_shared(adapter: Adapter, store: Store, counted: Counted) -> None:
    """Count what stands in both splits, which are as published; in one file of one's own they are to be mended.

    Raises:
        UserError: something does, in one file of one's own.
    """
    first = ""
    for what, where in store.shared():
        if adapter.content_ids and len(counted.by_split) < 2:
            raise UserError(f"{where}; give both the same split")
        counted.shared[what] += 1
        first = first or where
    if first:
        shown = ", ".join(f"{count:,} {what}s" for what, count in sorted(counted.shared.items()))
        say(f"{shown} stand in train and in test, as published ({first})")


def _write(folder: epath.Path, store: Store) -> Contents:
    """Write the questions of both splits, sorted by id."""
    contents = Contents()
    for split, name in (("train", TRAIN_FILE), ("test", TEST_FILE)):
        with open_writer(folder / name, QUESTION_SCHEMA) as writer:
            for question in store.questions(split):
                writer.write(question_to_row(question), sum(map(len, question.images)))
                contents.add(question)
    return contents


def _write_left_out(folder: epath.Path, store: Store, counts: Mapping[str, int]) -> None:
    """Write what is left out, a line each, and say what became of the rows; write nothing where all were read."""
    if store.respelt:
        say(f"{store.respelt} ids are spelt in another way, as later stages take them; {store.spelling}")
    if store.unseen:
        say(f"{store.unseen} characters that nobody sees (controls, turned writing) are taken out of texts")
    if store.twice:
        say(f"{store.twice} rows stood before just as they are and are kept once; {store.again}")
    if not counts:
        return
    with (folder / LEFT_OUT_FILE).open("w") as lines:
        for file, counted, number, reason in store.left_out():
            line = {"file": file, counted: number, "reason": reason}
            lines.write(json.dumps(line, ensure_ascii=False) + "\n")
    for about, count in counts.items():
        say(f"{count} left out: {about}; see {LEFT_OUT_FILE}")
