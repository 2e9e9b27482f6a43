"""The first stage for questions of one's own: a file in OctoMed's published schema becomes a questions folder."""

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from etils import epath

from octomed_jax import manifests, progress, storage
from octomed_jax.errors import UserError
from octomed_jax.manifests import Manifest
from octomed_jax.progress import say
from octomed_jax.questions.packages.build import CARD_FILE, STAGE, TEST_FILE, TRAIN_FILE
from octomed_jax.questions.reading.card import Contents, write_card
from octomed_jax.questions.reading.row_images import hash_files
from octomed_jax.questions.reading.rows import COLUMNS, NAME, UNUSED, Defaults, Given, read_question
from octomed_jax.questions.reading.store import Store
from octomed_jax.schema import QUESTION_SCHEMA, question_to_row
from octomed_jax.storage import PathLike
from octomed_jax.traces.lake import open_writer
from octomed_jax.traces.row_files import Entry, RowFile
from octomed_jax.verification.rows import RowError

LEFT_OUT_FILE = "left_out.jsonl"
ONE_IN = 1000  # rows may be one left out; a file with fewer rows is read whole or not at all
GROUP_BYTES = 64 * 2**20  # of images in a row group, which is what writer and readers hold in memory
REASON_CHARACTERS = 400
MOST_NAMES = 20  # of columns that are not used


def build_octomed(
    source: Path, output: PathLike, licence: str = "", access: str = "open", limit: int | None = None
) -> Manifest:
    """Bring the rows of a file into a finished questions folder, or return at once where that is done.

    The same rows give the same questions, in whatever order and form they stand. Memory holds a few rows at a time.

    Args:
        source: .jsonl, .json, .parquet, .csv or .tsv. Names of image files in it begin at its folder.
        output: folder for ``questions.parquet``, ``heldout.parquet``, ``card.md``, the manifest, and
            ``left_out.jsonl`` where rows were left out.
        licence: of rows that do not name one.
        access: ``credentialed`` makes all rows so, ``open`` leaves it to them.
        limit: how many rows are read, from the first on; None for all.

    Raises:
        UserError: the file cannot be read, too many of its rows cannot, rows contradict each other, or ``output``
            holds other work.
        TryAgain: the disk is full, or another process is at work there.
        StopAndLook: the file is damaged.
    """
    rows = RowFile(source)
    settings = _settings(rows, licence, access, limit)
    done = manifests.finished(output, STAGE, settings, {})
    if done is not None:
        return done
    with storage.staged_folder(output) as folder:
        with storage.scratch_folder(folder) as scratch, Store(scratch, rows.counts) as store:
            read = _read(rows, store, Defaults(licence, access), limit)
            store.leave_out_rivals()
            left_out = store.count_left_out()
            _check_left_out(rows, store, read, sum(left_out.values()))
            store.check_splits()
            contents = _write(folder, store)
            _write_left_out(folder, rows, store, left_out)
            found = {"rows": read, "twice": store.twice, "ids_respelt": store.respelt}
        storage.write_text(folder / CARD_FILE, write_card(contents, left_out, found["twice"]))
        manifest = Manifest(
            stage=STAGE,
            config=settings,
            counts={**contents.table(), **found, "dropped": {NAME: left_out} if left_out else {}},
            files=manifests.hash_files(folder),
            licences=tuple(sorted(contents.licences)),
            access="credentialed" if contents.access["credentialed"] else "open",
        )
        manifests.write_manifest(folder, manifest)
    return manifest


def _settings(rows: RowFile, licence: str, access: str, limit: int | None) -> dict[str, Any]:
    """Return what the result depends on; the image files that rows name belong to it as the file itself does."""
    cells = (entry.row.get("image") for entry in islice(rows.entries(("image",)), limit) if entry.row)
    settings = {
        "source": NAME,
        "input": storage.sha256_file(rows.path),
        "images": hash_files(cells, rows.path.parent),
        "licence": licence,
        "access": access,
        "limit": limit,
    }
    return {name: value for name, value in settings.items() if value}


def _read(rows: RowFile, store: Store, defaults: Defaults, limit: int | None) -> int:
    """Put the questions of a file into the store; return how many rows were read.

    Raises:
        UserError: there is no row.
    """
    read, position, ignored = 0, 0, _ignored(rows.names)
    with progress.bar("reading", rows.total, rows.unit) as line:
        for entry in islice(rows.entries((*COLUMNS, "images")), limit):
            read += 1
            if entry.row and len(ignored) < MOST_NAMES:
                ignored |= _ignored(entry.row)
            try:
                store.add(_question(entry, rows, store, defaults), entry.number)
            except RowError as error:
                store.leave_out(entry.number, error.column, _reason(error, _place(rows, entry.number)))
            line.advance(entry.position - position)
            position = entry.position
    if not read:
        raise UserError(f"{rows.path} holds no row; give a file with questions")
    if ignored:
        say(f"columns that are not used: {', '.join(map(repr, list(ignored)[:MOST_NAMES]))}")
    return read


def _ignored(names: Iterable[str]) -> dict[str, None]:
    return dict.fromkeys(name for name in names if name not in COLUMNS and name not in UNUSED)


def _question(entry: Entry, rows: RowFile, store: Store, defaults: Defaults) -> Given:
    """Return the question of what stands at one place.

    Raises:
        RowError: there is none.
    """
    where = _place(rows, entry.number)
    if entry.row is None:
        raise RowError(f"{where} {entry.problem}; mend it or remove it", "row")
    try:
        return read_question(entry.row, where, rows.path.parent, store.has_image, defaults)
    except RecursionError as error:
        raise RowError(f"{where} holds lists within lists without end; remove it", "row") from error


def _place(rows: RowFile, number: int) -> str:
    return f"{rows.path} {rows.counts} {number}"


def _reason(error: RowError, where: str) -> str:
    return str(error).removeprefix(where).lstrip(": ")[:REASON_CHARACTERS]


def _check_left_out(rows: RowFile, store: Store, read: int, left_out: int) -> None:
    """Allow one row in ONE_IN to be left out.

    Raises:
        UserError: there are more; the first of them is named.
    """
    if left_out * ONE_IN <= read:
        return
    number, reason = next(store.left_out())
    others = f"; so it is with {left_out - 1} more of {read} {rows.counts}s" if left_out > 1 else ""
    rule = f"one in {ONE_IN:,}" if read >= ONE_IN else f"none of fewer than {ONE_IN:,}"
    raise UserError(f"{_place(rows, number)}: {reason} (nothing is written{others}; {rule} may be left out)")


def _write(folder: epath.Path, store: Store) -> Contents:
    """Write the questions of both splits, sorted by id."""
    contents = Contents()
    for split, name in (("train", TRAIN_FILE), ("test", TEST_FILE)):
        with open_writer(folder / name, QUESTION_SCHEMA) as writer:
            held = 0
            for question in store.questions(split):
                writer.write(question_to_row(question))
                contents.add(question)
                held += sum(map(len, question.images))
                if held >= GROUP_BYTES:
                    writer.flush()
                    held = 0
    return contents


def _write_left_out(folder: epath.Path, rows: RowFile, store: Store, counts: Mapping[str, int]) -> None:
    """Write what is left out, a line each, and say what became of the rows; write nothing where all were read."""
    if store.respelt:
        say(f"{store.respelt} ids are spelt in another way, as later stages take them; {store.spelling}")
    if store.twice:
        say(f"{store.twice} of the {rows.counts}s stood before just as they are and are kept once; {store.again}")
    if not counts:
        return
    with (folder / LEFT_OUT_FILE).open("w") as file:
        for number, reason in store.left_out():
            line = {"file": rows.path.name, rows.counts: number, "reason": reason}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    for about, count in counts.items():
        say(f"{count} left out: {about}; see {LEFT_OUT_FILE}")
