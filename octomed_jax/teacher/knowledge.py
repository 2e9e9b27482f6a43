"""What the programmatic teacher knows: the questions it was given, found again by what it is shown of them."""

import re
from collections.abc import Sequence

from octomed_jax.images.decode import decode_image
from octomed_jax.prompts import LETTERS
from octomed_jax.schema import Question, with_option_order
from octomed_jax.storage import PathLike, sha256_bytes
from octomed_jax.teacher.prompts import PROMPTS
from octomed_jax.teacher.requests import prepare_image
from octomed_jax.teacher.script import spoken
from octomed_jax.traces import lake

_LETTER = re.compile(r"^[A-Z]\. ")

Key = tuple[str, tuple[str, ...]]


class Knowledge:
    """The questions the teacher can answer, by their text and images."""

    def __init__(self, path: PathLike, max_pixels: int):
        self._path, self._max_pixels = path, max_pixels
        self._by_key: dict[Key, Question] = {}
        self._pixels: dict[str, str] | None = None  # hash of pixels -> hash of the file, made when first needed
        answers: dict[str, set[str]] = {}
        self.rivals = 0
        for question in lake.iterate_questions(path):
            spoken(question, question.answer)
            images = tuple(sha256_bytes(prepare_image(data, max_pixels, question.id)) for data in question.images)
            answers.setdefault(question.benchmark, set()).add(question.answer)
            bare = Question(**{**vars(question), "images": ()})
            for prompt in PROMPTS.values():
                known = self._by_key.setdefault((_orderless(prompt.text(question)), images), bare)
            self.rivals += known.answer != bare.answer
        self._pools = {name: sorted(found) for name, found in answers.items()}

    def __len__(self) -> int:
        return len({question.id for question in self._by_key.values()})

    def find(self, text: str, images: Sequence[bytes]) -> Question | None:
        """Return the question with this text and these images (same file, or same pixels in another file).

        Its options come in the order in which the text shows them.

        Raises:
            UserError: an image cannot be read.
        """
        names, lines = tuple(sha256_bytes(data) for data in images), _orderless(text)
        question = self._by_key.get((lines, names))
        if question is None and images:
            known = self._known_pixels()
            question = self._by_key.get((lines, tuple(known.get(_pixel_hash(data), "") for data in images)))
        return _as_shown(question, text) if question and question.task == "mcq" else question

    def pool(self, question: Question) -> Sequence[str]:
        """Return the answers given anywhere in the question's benchmark."""
        return self._pools[question.benchmark]

    def _known_pixels(self) -> dict[str, str]:
        if self._pixels is None:
            files = (
                prepare_image(data, self._max_pixels)
                for question in lake.iterate_questions(self._path)
                for data in question.images
            )
            self._pixels = {_pixel_hash(data): sha256_bytes(data) for data in files}
        return self._pixels


def _orderless(text: str) -> str:
    """Return what is the same for a question whatever the order of its options: the sorted lines without letters."""
    return "\n".join(sorted(_LETTER.sub("", line) for line in text.split("\n")))


def _as_shown(question: Question, text: str) -> Question:
    """Return a question of lettered options in the order in which ``text`` shows them."""
    rest = text.removeprefix(f"{question.question}\n")
    left, order = dict(enumerate(question.options)), []
    for letter, _ in zip(LETTERS, question.options, strict=False):
        # The longest first: an option may begin like another one.
        for place in sorted(left, key=lambda place: -len(left[place])):
            if rest.startswith(line := f"{letter}. {left[place]}\n"):
                rest = rest[len(line) :]
                order.append(place)
                del left[place]
                break
    return with_option_order(question, order) if not left else question


def _pixel_hash(data: bytes) -> str:
    image = decode_image(data)
    return sha256_bytes(f"{image.size}".encode() + image.tobytes())
