"""The folders that a row may have gone through, from the shards back to its questions, and what a row is called."""

from octomed_jax.errors import UserError
from octomed_jax.lineage.folders import Folders, Found, place_of
from octomed_jax.lineage.questions import asked_by
from octomed_jax.lineage.records import Placed, find_record
from octomed_jax.lineage.rows import Row, find_rows, parts
from octomed_jax.manifests import QUESTION_STAGES
from octomed_jax.storage import PathLike
from octomed_jax.traces.grouped import LAKE
from octomed_jax.traces.shards import ShardReader

CHAIN = ("shard", "verify", "distill", "curate", "questions")  # from the last to the first


class Chain:
    """The folders of a walk: one of each stage, and what is known of the question in them.

    Attributes:
        folders: all that are at hand.
        start: the one from which the walk begins.
        shard, verify, distill, asked: of each stage, the folder that the one after it was made from; None: not at hand.
        lake: the row of the question in the traces, once it is found.
        placed: its record in the shards, likewise.
    """

    def __init__(self, folders: Folders, start: Found):
        self.folders, self.start = folders, start
        self.shard = start if start.stage == "shard" else None
        self.verify = self._before(self.shard, "verify", start)
        self.distill = self._before(self.verify, "distill", start)
        self.asked = self._before(self.distill, "questions", start)
        self.lake: Row | None = None
        self.placed: Placed | None = None

    def _before(self, after: Found | None, name: str, start: Found) -> Found | None:
        stages = QUESTION_STAGES if name == "questions" else (name,)
        if start.stage in stages:
            return start
        return self.folders.named(after.manifest.inputs.get(name, "")) if after else None

    def find_question(self, question: str) -> bool:
        """Say whether a question is known anywhere in the chain; its row of the lake is kept."""
        if self.verify:
            found = find_rows(parts(self.verify.folder / LAKE), "id", question)
            if found:
                self.lake = found[0]
                return True
        if self.shard and not self.verify and (placed := find_record(ShardReader(self.shard.folder), question)):
            self.placed = placed
            return True
        return any(asked_by(self.folders, one, question) for one in self._first())

    def _first(self) -> list[Found]:
        return [self.asked] if self.asked else self.folders.of(*QUESTION_STAGES)


def start_of(folders: Folders, shards: PathLike | None) -> Found:
    """Return the folder from which a walk begins: the last stage that is at hand.

    Raises:
        UserError: there is none, or there are several.
    """
    if shards:
        for one in folders.of("shard"):
            if place_of(one.folder) == place_of(shards):
                return one
        raise UserError(f"{shards} holds no shards; make them with `octomed shard`")
    for stage in CHAIN:
        if len(found := folders.of(stage)) > 1:
            names = ", ".join(str(one.folder) for one in found)
            how = "with --shards" if stage == "shard" else "alone, without the others,"
            raise UserError(f"there are several folders of `{stage}` ({names}); name one {how}")
        if found:
            return found[0]
    raise UserError("there is no folder of questions, attempts, traces or shards; give that of a run")


def named(row: str, chain: Chain) -> tuple[str, int | None]:
    """Return the question and the sample that a name means; what is found of it on the way is kept in the chain.

    Args:
        row: ``QUESTION_ID``, ``QUESTION_ID:SAMPLE`` or ``RECORD/RESPONSE``.
        chain: in which it is looked for.

    Raises:
        UserError: it means none.
    """
    record, slash, response = row.partition("/")
    if slash and record.isdigit() and response.isdigit():
        return _numbered(int(record), int(response), chain)
    if chain.find_question(row):
        return row, None
    question, _, sample = row.rpartition(":")
    if question and sample.isdigit() and chain.find_question(question):
        if chain.lake and not any(one["sample_index"] == int(sample) for one in chain.lake.fields["attempts"]):
            samples = ", ".join(str(one["sample_index"]) for one in chain.lake.fields["attempts"]) or "none"
            raise UserError(f"question {question} has no attempt {int(sample)}; its attempts are {samples}")
        return question, int(sample)
    where = ", ".join(str(one.folder) for one in chain.folders.of(*CHAIN))
    raise UserError(
        f"no question or row {row!r} in {where}; give QUESTION_ID, QUESTION_ID:SAMPLE, or RECORD/RESPONSE of the shards"
    )


def _numbered(number: int, response: int, chain: Chain) -> tuple[str, int | None]:
    if not chain.shard:
        raise UserError(
            f"{number}/{response} is a row of shards, and no folder of them is at hand; name it with --shards"
        )
    reader = ShardReader(chain.shard.folder)
    if number >= len(reader):
        raise UserError(f"{chain.shard.folder} has {len(reader)} records, no number {number} (0 is the first)")
    record = reader[number]
    if response >= len(record.responses):
        raise UserError(
            f"record {number} of {chain.shard.folder} has {len(record.responses)} responses, no number {response} "
            "(0 is the first)"
        )
    chain.find_question(record.question.id)
    chain.placed = Placed(number, record)
    return record.question.id, record.samples[response] if record.samples else None
