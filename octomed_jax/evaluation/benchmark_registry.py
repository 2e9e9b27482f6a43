"""The registry of evaluation benchmarks: the paper's 14, and others that are usual beside them.

None is trained on. A benchmark says which published split it is read from, by which adapters of ``questions/sources``;
several where one set is published in several forms. A folder of questions need not come from any of them: what its
questions name as their benchmark counts, and a name that is not registered is reported as it is.

What the paper leaves open is said in ``note``. The number of questions is the published one; where Table 2 tells more,
it is by arithmetic: a cell that is a mean of 5 runs over n questions is a whole number of answers out of 5 n.
"""

import dataclasses

from octomed_jax.questions.adapter import Adapter
from octomed_jax.questions.registry import ADAPTERS

TEXT, IMAGES, CLASSES = "text", "reasoning on images", "classification"
LEGACY, FURTHER = "legacy VQA", "further"
CATEGORIES = (TEXT, IMAGES, CLASSES, LEGACY, FURTHER)
PAPER = (TEXT, IMAGES, CLASSES)  # whose overall is a plain mean; the others mix measures
EVERY, WITH_IMAGES = "all 14", "the 9 with images"  # means over several categories: Figure 3, and the axis of Figure 7
ACCURACY = "accuracy"
OPEN_AND_CLOSED = "closed accuracy, open token F1"
REPORTS = "ROUGE-L, label F1"
OWN_STYLES = ("direct", "report")  # in which a benchmark is asked whatever the config's format is
LEFT_OUT = 0.01  # share of the published questions that an adapter may pass over and the benchmark still be whole


@dataclasses.dataclass(frozen=True)
class Reading:
    """A published split that a benchmark is read from: what ``--source`` and ``--split`` take."""

    source: str
    split: str

    @property
    def adapter(self) -> Adapter:
        """The adapter that reads it."""
        return ADAPTERS[self.source]


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """A set that models are measured on.

    Attributes:
        name: what ``octomed eval`` calls it.
        title: as the paper's table, or its makers, call it.
        category: one of CATEGORIES.
        readings: the splits that it can be read from; the first is what the paper used, as far as that is known.
        questions: how many it has; None: not known.
        in_domain: the paper trained on its train split.
        metric: ACCURACY, OPEN_AND_CLOSED or REPORTS.
        style: how the answer is asked for: ``boxed`` after reasoning, ``direct``, or ``report``; one of
            ``prompts.FORMATS``.
        names: what else questions may call it.
        note: what one has to know, such as what the paper leaves open.
    """

    name: str
    title: str
    category: str
    readings: tuple[Reading, ...]
    questions: int | None = None
    in_domain: bool = False
    metric: str = ACCURACY
    style: str = "boxed"
    names: tuple[str, ...] = ()
    note: str = ""

    @property
    def licences(self) -> tuple[str, ...]:
        """Of what it is read from, each once."""
        return tuple(dict.fromkeys(one.adapter.licence for one in self.readings))

    @property
    def access(self) -> str:
        """``credentialed`` where all that it can be read from is, ``open``, or "" where it is read from nothing."""
        found = [one.adapter.access_of(one.adapter.splits[one.split]) for one in self.readings]
        return min(found, key=("open", "credentialed").index, default="")

    @property
    def called(self) -> tuple[str, ...]:
        """All that questions may call it."""
        return (self.name, *self.names)


def _from(*readings: str) -> tuple[Reading, ...]:
    """Return the readings of ``source:split``."""
    return tuple(Reading(*one.split(":")) for one in readings)


def _by_answer(name: str) -> tuple[str, ...]:
    return f"{name}-closed", f"{name}-open"


ALL = (
    Benchmark(
        *("medqa", "MedQA", TEXT, _from("octomed-medqa-5options:test", "medqa-5options:test", "medqa:test"), 1_273),
        in_domain=True,
        names=("medqa-5options",),
        note="four or five options: not said; the authors publish five",
    ),
    Benchmark(
        *("headqa", "HeadQA", TEXT, _from("headqa:test", "headqa-es:test"), 2_742),
        in_domain=True,
        names=("headqa-es",),
        note="English or Spanish: not said",
    ),
    Benchmark(
        *("medmcqa", "MedMCQA", TEXT, _from("medmcqa:validation"), 4_183),
        in_domain=True,
        note="its test split has no published gold, so that everyone takes the validation split",
    ),
    Benchmark("medxpertqa-text", "MedXpertQA-T", TEXT, _from("medxpertqa-text:test"), 2_450),
    Benchmark(
        *("mmlu-pro-health", "MMLU-PRO (H)", TEXT, _from("mmlu-pro-health:test"), 818),
        note="818 questions on health of 12,032: all but one of Table 2's cells are means over as many",
    ),
    Benchmark(
        *("mmmu-pro", "MMMU-PRO (H)", IMAGES, _from("mmmu-pro:test"), 286),
        note="286 questions of five subjects of 1,730: all of Table 2's cells are means over as many",
    ),
    Benchmark("nejm-image-challenge", "NEJM", IMAGES, _from("nejm-image-challenge:test"), 947),
    Benchmark(
        *("pmc-vqa", "PMC-VQA", IMAGES, _from("octomed-pmc-vqa:test", "pmc-vqa:test_clean", "pmc-vqa-2:test"), 2_000),
        in_domain=True,
        names=("pmc-vqa-2",),
        note="the authors publish 2,000 of version 2; test_clean is of version 1",
    ),
    Benchmark("medxpertqa-mm", "MedXpertQA-MM", IMAGES, _from("medxpertqa-mm:test"), 2_000),
    Benchmark(
        *("brain-tumor-mri", "Brain Tumor", CLASSES, _from("brain-tumor-mri:test"), 1_311, True),
        note="Table 2's cells are no means over 1,311, so that the paper took others, or counted otherwise",
    ),
    Benchmark(
        *("coronahack", "CoronaHack", CLASSES, _from("coronahack:test"), 624, True),
        note="all of Table 2's cells are means over as many",
    ),
    Benchmark(
        *("aptos", "Aptos", CLASSES, _from("aptos:test"), 366, True),
        note="which split the paper took is not said, and Table 2's cells are no means over 366",
    ),
    Benchmark(
        *("messidor2", "MESSIDOR2", CLASSES, _from("octomed-messidor2:test"), 350, True),
        note="the authors' split; the set itself has none. All of Table 2's cells are means over as many",
    ),
    Benchmark(
        *("bcss", "BCSS", CLASSES, (), None, True),
        note="which tiles the paper took is not said, and BCSS-WSSS publishes labels of training tiles alone: hold out "
        "patients of your own, as rows of --source=octomed whose benchmark is bcss",
    ),
    Benchmark(
        *("vqa-rad", "VQA-RAD", LEGACY, _from("octomed-vqa-rad:test", "vqa-rad-original:test", "vqa-rad:test"), 451),
        *(True, OPEN_AND_CLOSED, "direct", ("vqa-rad-original", *_by_answer("vqa-rad"))),
        note="images stand in both splits as published; vqa-rad does not say which questions are closed: those that "
        "are answered yes or no",
    ),
    Benchmark(
        *("slake", "SLAKE", LEGACY, _from("octomed-slake:test", "slake:test"), 1_061, True, OPEN_AND_CLOSED, "direct"),
        names=_by_answer("slake"),
        note="the English questions",
    ),
    Benchmark(
        *("pathvqa", "PathVQA", LEGACY, _from("pathvqa:test"), 6_719, False, OPEN_AND_CLOSED, "direct"),
        names=_by_answer("pathvqa"),
        note="closed are those that are answered yes or no",
    ),
    Benchmark("pubmedqa", "PubMedQA", FURTHER, _from("pubmedqa:test"), 500, note="the official test fold"),
    Benchmark(
        *("omnimedvqa", "OmniMedVQA", FURTHER, _from("omnimedvqa:open")),
        note="the open part of 127,995 questions; made of sets whose train splits may be learnt from",
    ),
    Benchmark(
        *("mimic-cxr", "MIMIC-CXR reports", FURTHER, _from("mimic-cxr:test"), 3_269, True, REPORTS, "report"),
        note="studies, of which those without a report are passed over",
    ),
    Benchmark("mmmu", "MMMU (health, validation)", FURTHER, _from("mmmu:validation"), 150),
    Benchmark("medframeqa", "MedFrameQA", FURTHER, _from("medframeqa:test"), 2_851),
    Benchmark("gmai-mmbench", "GMAI-MMBench (validation)", FURTHER, _from("gmai-mmbench:validation")),
    Benchmark("rexvqa", "ReXVQA", FURTHER, _from("rexvqa:test"), in_domain=True),
    Benchmark(
        *("medcalc-bench", "MedCalc-Bench", FURTHER, _from("medcalc-bench-verified:test", "medcalc-bench:test"), 1_100),
        names=("medcalc-bench-verified",),
    ),
)
BENCHMARKS: dict[str, Benchmark] = {one.name: one for one in ALL}
