"""Brain slices with known plane, side and lobe: Colin27 with the AAL atlas to train on, ICBM152 held out.

Both brains lie in MNI space, so the AAL label of a point of either is looked up through the affines. Questions are
rendered one by one from generators of their own, so the number of processes does not matter.
"""

from collections.abc import Mapping

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion

from octomed_jax.errors import UserError
from octomed_jax.images.decode import encode_png
from octomed_jax.images.volumes import Volume, read_volume
from octomed_jax.questions.packages import brain_slices as slices
from octomed_jax.questions.packages.archives import deb_members, wheel_members
from octomed_jax.questions.packages.brain_scene import Scene, scene, start
from octomed_jax.questions.packages.fetch import fetch
from octomed_jax.questions.packages.pinned import MRICRON_DATA, NILEARN
from octomed_jax.questions.packages.rendering import render_all
from octomed_jax.questions.packages.source import Made, Source, generator, side_of
from octomed_jax.schema import Question
from octomed_jax.storage import sha256_bytes

TEMPLATES = "usr/share/mricron/templates/"
ICBM = "nilearn/datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
BRAINS = {"train": "colin27", "test": "icbm152"}
LICENCES = {"train": "BSD-3-Clause", "test": "LicenseRef-MNI-ICBM152"}

CONVENTION = "Radiological convention: the patient's left is on the right of the image."
TEXTS = {
    "plane": "Which plane is this brain MRI slice cut in?",
    "side": f"This is a brain MRI slice. {CONVENTION} On which side of the patient is the red ring?",
    "lobe": f"This is a brain MRI slice. {CONVENTION} Which part of the brain is inside the red ring?",
}
LOBES = ("frontal", "parietal", "temporal", "occipital", "cerebellum", "deep nuclei")
LABELS = {"plane": slices.PLANES, "side": ("left", "right"), "lobe": LOBES}
# AAL's own numbering of regions: the first digit of the code is the group. Insula, cingulum, hippocampus, fusiform
# and the paracentral lobule belong to none of the six or to two, and are left out.
AAL_GROUPS = {"2": "frontal", "6": "parietal", "8": "temporal", "5": "occipital", "9": "cerebellum", "7": "deep nuclei"}
AAL_LEFT_OUT = ("54", "64")

MIDLINE = 12.0  # mm that a marked point keeps from the middle, where side is asked
TRIES = 200


def load_volumes() -> tuple[dict[str, tuple[Volume, ...]], Volume, str]:
    """Return the volumes of each brain (8 bits), the AAL atlas, and the text of AAL's region table.

    Raises:
        UserError, TryAgain: as ``fetch``.
    """
    names = [TEMPLATES + name for name in ("ch2bet.nii.gz", "ch2.nii.gz", "aal.nii.gz", "aal.nii.txt")]
    files = deb_members(fetch(MRICRON_DATA), names, MRICRON_DATA.filename)
    other = wheel_members(fetch(NILEARN), [ICBM], NILEARN.filename)
    bare, skull, atlas = (read_volume(files[name], name) for name in names[:3])
    brains = {"train": (bare, skull), "test": (read_volume(other[ICBM], ICBM),)}
    return brains, atlas, files[names[3]].decode("utf-8", "replace")


def lobe_of_label(table: str) -> dict[int, str]:
    """Return AAL label number to lobe, from AAL's table (``number name code`` a line).

    Raises:
        UserError: a line that reads otherwise.
    """
    lobes = {}
    for line in table.splitlines():
        words = line.split()
        if not words:
            continue
        if len(words) != 3 or not (words[0].isdigit() and words[2].isdigit()):
            raise UserError(
                f"the AAL table of {MRICRON_DATA.filename} has an odd line {line!r}; delete it and fetch again"
            )
        number, _, code = words
        if code[0] in AAL_GROUPS and not code.startswith(AAL_LEFT_OUT):
            lobes[int(number)] = AAL_GROUPS[code[0]]
    return lobes


def places_by_lobe(atlas: Volume, lobes: Mapping[int, str]) -> dict[str, np.ndarray]:
    """Return lobe to voxel indices (N, 3) of the atlas that lie at least 3 voxels inside it."""
    numbers = np.zeros(256, np.uint8)
    for label, lobe in lobes.items():
        numbers[label] = LOBES.index(lobe) + 1
    groups = numbers[atlas.array.astype(np.uint8)]
    found = {}
    for index, lobe in enumerate(LOBES):
        inside = binary_erosion(groups == index + 1, iterations=3)
        found[lobe] = np.argwhere(inside).astype(np.int16)  # small: each rendering process is handed a copy
    return found


def render(job: tuple[str, str, int, int, int]) -> Question:
    """Return one question.

    Args:
        job: split, benchmark, index, side in pixels, seed.
    """
    split, benchmark, index, side, seed = job
    rng = generator("brain", seed, split, benchmark, index)
    answer = LABELS[benchmark][index % len(LABELS[benchmark])]
    for _ in range(TRIES):
        rendered = _draw(split, benchmark, answer, side, rng)
        if rendered is not None:
            break
    else:
        raise AssertionError(f"no {benchmark} slice for {answer} in {TRIES} tries")
    image, explanation = rendered
    data = encode_png(image)
    return Question(
        id=f"brain:{benchmark}:{split}:{index:05d}",
        source="brain",
        benchmark=benchmark,
        split=split,
        task="classification",
        question=TEXTS[benchmark],
        options=LABELS[benchmark],
        answer=answer,
        images=(data,),
        image_hashes=(sha256_bytes(data),),
        explanation=explanation,
        cluster=BRAINS[split],
        modality="MRI",
        body_region="brain",
        licence=LICENCES[split],
    )


def _draw(
    split: str, benchmark: str, answer: str, side: int, rng: np.random.Generator
) -> tuple[Image.Image, str] | None:
    """Return an image and its explanation, or None where the draw shows too little of what is asked."""
    volumes = scene().brains[split]
    volume = volumes[1] if len(volumes) > 1 and rng.random() < 0.25 else volumes[0]
    # The held-out brain is cut straight but for a slight change of place and size.
    strength = 1.0 if split == "train" else 0.25
    if benchmark == "plane":
        low, high = slices.RANGES[answer]
        at = slices.CENTER + slices.AXES[answer][2] * (rng.uniform(low, high) - slices.CENTER @ slices.AXES[answer][2])
        shown = slices.cut(volume, answer, at, side, rng, strength)
        if (shown.gray > 60).mean() < 0.12:
            return None
        article = "an" if answer == "axial" else "a"
        return Image.fromarray(shown.gray), f"Asked: plane. This is {article} {answer} slice."
    lobe = answer if benchmark == "lobe" else LOBES[int(rng.integers(len(LOBES)))]
    at = scene().point_in(lobe, rng)
    planes = slices.PLANES if benchmark == "lobe" else slices.PLANES[:2]
    plane = planes[int(rng.integers(len(planes)))]
    if benchmark == "side":
        at = at * np.array([-1.0 if (at[0] < 0) != (answer == "left") else 1.0, 1.0, 1.0])
        if abs(at[0]) < MIDLINE:
            return None
    shown = slices.cut(volume, plane, at, side, rng, strength)
    ring = slices.ring_at(shown, at)
    if not ring or not _holds(benchmark, answer, shown.points[ring]):
        return None
    return slices.with_marker(shown.gray, *ring), _marked_explanation(benchmark, answer)


def _holds(benchmark: str, answer: str, point: np.ndarray) -> bool:
    """Return whether the answer is still true at the pixel that was marked, which lies up to 2.5 mm off."""
    if benchmark == "side":
        return bool((point[0] < 0) == (answer == "left"))
    return scene().names.get(int(slices.labels_under(scene().atlas, point[None])[0])) == answer


def _marked_explanation(benchmark: str, answer: str) -> str:
    if benchmark == "side":
        half = {"left": "right", "right": "left"}[answer]
        return f"Asked: side. The ring is {half} of the midline in the image, so on the patient's {answer}."
    return f"Asked: part. The ring is in the {answer}{'' if answer in ('cerebellum', 'deep nuclei') else ' lobe'}."


def load_scene() -> Scene:
    """Return what is handed to each rendering process. Errors as ``load_volumes`` and ``lobe_of_label``."""
    brains, atlas, table = load_volumes()
    lobes = lobe_of_label(table)
    return Scene(brains, atlas, lobes, places_by_lobe(atlas, lobes))


def make(settings: Mapping[str, int], seed: int, workers: int) -> Made:
    """Render the questions of all three benchmarks for both splits.

    Raises:
        UserError: an image side under 56 pixels.
        TryAgain: a rendering process was killed.
    """
    side = side_of("brain", settings, 56, "slices")
    handed = (load_scene(),)
    wanted = {("train", name): settings[name] for name in LABELS}
    wanted |= {("test", name): settings["test_each"] for name in LABELS}
    jobs = [(split, name, index, side, seed) for (split, name), count in wanted.items() for index in range(count)]
    return Made(render_all("brain slices", render, jobs, start, handed, workers))


SOURCE = Source(
    name="brain",
    title="MRI brain slices with known plane, side and lobe; the held-out questions show another brain",
    licence="BSD-3-Clause (mricron-data, nilearn); LicenseRef-MNI-ICBM152 (template)",
    access="open",
    attribution=(
        "Colin27 T1: Holmes et al. 1998, Montreal Neurological Institute. AAL atlas: Tzourio-Mazoyer et al. 2002. Both "
        "as packaged in Debian's mricron-data (C. Rorden). ICBM 2009a nonlinear symmetric T1: Fonov et al. 2009, 2011, "
        "(C) 1993-2004 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute, McGill "
        "University; as packaged in nilearn."
    ),
    gives={"plane": "train and test", "side": "train and test", "lobe": "train and test"},
    packages=(MRICRON_DATA, NILEARN),
    settings=("plane", "side", "lobe", "test_each", "side_pixels"),
    make=make,
)
