"""Images in curation: what is found again and what is confused, burned-in text, all pairs of 200,000, images a second.

    pip install --target peers imagehash==4.3.2
    .venv/bin/python benchmarks/curation_images.py --peers peers --output benchmarks/results/curation_images.json

- match: real images (slices of two brains every 3 mm in three planes, DICOM studies, tiles of slides and fundi; fetched
  once), each changed as in image_changes.py and looked up among all. Found: the changed copy and its original match.
  False: other pairs that match. Neighbours: slices of one brain so many millimetres apart. Beside it imagehash, each
  of its hashes with the largest radius that confuses no more images than ours.
- text: lines on real ultrasound pictures (measured by eye), names drawn on real images, real images without text.
- search: 200,000 pictures of 20 kinds that look alike within a kind, and changed copies of 1,000 of them: seconds of
  one core, peak of memory, copies found, other pairs found.
- speed: images a second on one core, files of 512 x 512 pixels.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # figures are those of one core; before NumPy is imported

import burned_in_text  # noqa: E402
import image_changes as changes  # noqa: E402
import medical_images  # noqa: E402
import numpy as np  # noqa: E402
import PIL  # noqa: E402
from PIL import Image  # noqa: E402

from octomed_jax.curation.pictures import image_index  # noqa: E402
from octomed_jax.curation.pictures.image_hashes import FREQUENCIES, PICTURE_BYTES, cosines, hash_image, picture_of  # noqa: E402
from octomed_jax.curation.pictures.image_index import ImageIndex, views_of  # noqa: E402
from octomed_jax.curation.pictures.image_match import LEAST_SCORE, same_image  # noqa: E402
from octomed_jax.images.decode import decode_image, encode_png  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
ALL = {**changes.SAME, **changes.BEYOND, **changes.OTHERWISE}
SHIFTS = (1, 2, 3, 4, 6)  # mm between neighbouring slices
KINDS, COPIES, SHARED = 20, 1000, 0.75  # of the search; share of a picture's energy that its kind has in common


def match(peers: Path | None) -> dict[str, Any]:
    """Look up changed copies of real images; the same for the hashes of imagehash."""
    found = medical_images.pictures()
    # The average of 152 brains is symmetrical: mirrored it is the same, and its two halves are. Its slices stand among
    # the neighbours below; here they are other patients.
    average = np.array([one.name.startswith("icbm") for one in found])
    pictures = stack(picture_of(one.image) for one in found)
    same = {(i, j) for i in range(len(found)) for j in range(len(found)) if is_one(found[i], found[j])}
    same |= {(i, j) for i in np.flatnonzero(average).tolist() for j in np.flatnonzero(average).tolist()}
    files = {name: [change(one.image) for one in found] for name, change in ALL.items()}
    figures: dict[str, Any] = {"images": len(found)}
    index = ImageIndex(pictures)
    recall, false, compared = {}, set(), 0
    for name, data in files.items():
        pairs = index.pairs_with(stack(np.frombuffer(hash_image(one).picture, np.int8) for one in data))
        hits = set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
        own = np.array([(i, i) in hits for i in range(len(found))])
        recall[name] = round(float(own[~average].mean() if name in changes.OTHERWISE else own.mean()), 4)
        compared += pairs.compared
        if name in changes.SAME:
            false |= {(i, j) for i, j in hits if (i, j) not in same and i != j}
    figures["found"] = recall
    figures["found, all that must be"] = round(float(np.mean([recall[name] for name in changes.SAME])), 4)
    figures["false pairs"] = sorted(f"{found[i].name} {found[j].name}" for i, j in false)
    figures["pairs that must not match"] = (len(found) ** 2 - len(same)) * len(changes.SAME)
    figures["compared share"] = round(compared / (len(found) ** 2 * len(ALL)), 5)
    figures["neighbours"] = neighbours()
    figures["unseen"] = unseen()
    if peers is not None:
        figures["imagehash"] = {
            name: peer(hashed, [one.image for one in found], files, same, average, len(false))
            for name, hashed in imagehashes(peers).items()
        }
    return figures


def unseen() -> dict[str, Any]:
    """Look up changed copies of images that no constant was chosen by."""
    found = medical_images.unseen_pictures()
    index = ImageIndex(stack(picture_of(one.image) for one in found))
    recall, false = {}, set()
    for name, change in changes.SAME.items():
        pairs = index.pairs_with(stack(np.frombuffer(hash_image(change(one.image)).picture, np.int8) for one in found))
        hits = set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
        recall[name] = round(len({i for i, j in hits if i == j}) / len(found), 4)
        false |= {f"{found[i].name} {found[j].name}" for i, j in hits if i != j}
    return {
        "images": len(found),
        "found": recall,
        "found, all that must be": round(float(np.mean(list(recall.values()))), 4),
        "false pairs": sorted(false),
    }


def is_one(one: medical_images.Picture, other: medical_images.Picture) -> bool:
    """Return whether two pictures are one image: packages hold some studies twice, in two sizes."""
    twins = ({"us-node-0", "examples_rgb_color-0", "examples_jpeg2k-0"}, {"us-heart-0", "examples_ybr_color-0"},
             {"vlut_04-0", "mlut_18-0"}, {"mr-liver-0", "examples_overlay-0"},
             {"OBXXXX1A-0", "examples_palette-0"})  # fmt: skip
    return one is other or any(one.name in twin and other.name in twin for twin in twins)


def neighbours() -> dict[str, Any]:
    """Return how many slices match that lie so many millimetres from each other, of a person and of an average."""
    volumes, _, _ = medical_images.brain.load_volumes()
    cut, plain = medical_images.brain_slices.cut, np.random.default_rng(0)
    figures = {}
    for name, volume in (("a person", volumes["train"][1]), ("an average of 152", volumes["test"][0])):
        kept: dict[int, list[np.ndarray]] = {shift: [] for shift in (0, *SHIFTS)}
        for plane, (low, high) in medical_images.brain_slices.RANGES.items():
            for at in np.arange(low, high - max(SHIFTS), 4.0):
                for shift, pictures in kept.items():
                    point = medical_images.brain_slices.AXES[plane][2] * (at + shift)
                    gray = cut(volume, plane, point, medical_images.SIDE, plain, strength=0.0).gray
                    pictures.append(picture_of(Image.fromarray(gray)))
        first = stack(kept.pop(0))
        scores = {shift: same_image(first, stack(pictures)) for shift, pictures in kept.items()}
        figures[name] = {f"{shift} mm": round(float((one >= LEAST_SCORE).mean()), 4) for shift, one in scores.items()}
        figures[name]["pairs of each"] = len(first)
    return figures


def imagehashes(peers: Path) -> dict[str, Callable[[Image.Image], np.ndarray]]:
    """Return the hashes of imagehash by name: images to bits."""
    sys.path.append(str(peers))
    import imagehash  # type: ignore[import-not-found]

    kinds = {"phash": imagehash.phash, "dhash": imagehash.dhash, "whash": imagehash.whash}
    return {
        f"{name} {size**2} bits": lambda image, one=one, size=size: one(image, hash_size=size).hash.ravel()
        for name, one in kinds.items()
        for size in (8, 16)
    }


def peer(
    hashed: Callable[[Image.Image], np.ndarray],
    images: list[Image.Image],
    files: dict[str, list[bytes]],
    same: set[tuple[int, int]],
    average: np.ndarray,
    most_false: int,
) -> dict[str, Any]:
    """Return what a hash finds with the radius that confuses at most so many pairs, and with a tenth of its bits."""
    bits = np.stack([hashed(image) for image in images]).astype(np.float32)
    far = {name: distances(np.stack([hashed(decode_image(one)) for one in data]), bits) for name, data in files.items()}
    other = ~np.eye(len(images), dtype=bool)
    other[tuple(np.array([pair for pair in same if pair[0] != pair[1]]).T)] = False
    nearest = np.min([far[name] for name in changes.SAME], axis=0)[other]
    radius = int(np.sort(nearest)[most_false]) - 1
    usual = bits.shape[1] * 10 // 64
    figures: dict[str, Any] = {}
    for name, reach in (("as few false", radius), ("usual radius", usual)):
        recall = {}
        for change, one in far.items():
            own = np.diag(one) <= reach
            recall[change] = round(float(own[~average].mean() if change in changes.OTHERWISE else own.mean()), 4)
        figures[name] = {
            "radius": reach,
            "found, all that must be": round(float(np.mean([recall[change] for change in changes.SAME])), 4),
            "false pairs": int((nearest <= reach).sum()),
            "found": recall,
        }
    return figures


def distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the bits that differ, (N, M)."""
    left = left.astype(np.float32)
    return left.sum(1)[:, None] + right.sum(1) - 2 * left @ right.T


def stack(pictures: Any) -> np.ndarray:
    """Return pictures as rows."""
    return np.stack([np.asarray(one).reshape(-1) for one in pictures])


def search(count: int) -> dict[str, Any]:
    """Find planted copies among many pictures that look alike."""
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(KINDS, PICTURE_BYTES))
    pictures = np.empty((count, PICTURE_BYTES), np.int8)
    for start in range(0, count, 4096):
        rows = slice(start, min(count, start + 4096))
        own = rng.normal(size=(rows.stop - start, PICTURE_BYTES))
        mixed = SHARED**0.5 * kinds[rng.integers(0, KINDS, len(own))] + (1 - SHARED) ** 0.5 * own
        pictures[rows] = np.rint(mixed * (127 / np.abs(mixed).max(1, keepdims=True)))
    originals = rng.choice(count, min(COPIES, count // 4), replace=False)
    changing = [changes.SAME[name] for name in changes.SAME if name != "a quarter"]
    copies = stack(
        np.frombuffer(hash_image(changing[number % len(changing)](drawn(pictures[place]))).picture, np.int8)
        for number, place in enumerate(originals)
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures: dict[str, Any] = {"pictures": count, "copies": len(originals), "alike within a kind": alike(pictures)}
    both = np.concatenate((pictures, copies))
    others = np.concatenate((copies, -pictures[: count - len(copies)]))  # negatives: as alike, and none a copy
    for name, work, planted in (
        ("within", lambda: ImageIndex(both).pairs_within(), {(int(o), count + i) for i, o in enumerate(originals)}),
        (
            "against as many",
            lambda: ImageIndex(pictures).pairs_with(others),
            {(i, int(o)) for i, o in enumerate(originals)},
        ),
    ):
        start = time.process_time()
        pairs = work()
        seconds = time.process_time() - start
        hits = set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
        figures[name] = {
            "seconds of one core": round(seconds, 1),
            "compared": pairs.compared,
            "planted found": round(len(planted & hits) / len(planted), 4),
            "clean found": len(hits - planted),
        }
    figures["pictures_mb"] = round(both.nbytes / 1e6, 1)
    figures["before_mb"] = round(before / 1e6, 1)
    figures["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1)
    return figures


def drawn(picture: np.ndarray, side: int = 256) -> Image.Image:
    """Return an image with a given picture."""
    values = picture.reshape(FREQUENCIES, FREQUENCIES) / np.maximum(image_index.FREQUENCY, 1.0)
    basis = cosines((np.arange(side) + 0.5) / side)
    shades = basis @ values @ basis.T
    shades *= 100 / np.abs(shades).max()
    return Image.fromarray((128 + shades).round().astype(np.uint8))


def alike(pictures: np.ndarray) -> float:
    """Return the cosine of views that one in a thousand pairs exceeds: how much the pictures look alike."""
    views = views_of(pictures[:2000])["whole"].astype(np.float32)
    products = (views @ views.T)[np.triu_indices(len(views), 1)] / image_index._LENGTH**2
    return round(float(np.quantile(products, 0.999)), 3)


def speed(peers: Path | None) -> dict[str, float]:
    """Return images a second of one core, of the same files."""
    images = [one.image.resize((512, 512)) for one in medical_images.pictures(brain_step=20, most_frames=1)][:60]
    files = [changes.saved(image.convert("RGB"), format="JPEG", quality=90) for image in images[::2]]
    files += [encode_png(image) for image in images[1::2]]
    runs: dict[str, Callable[[bytes], Any]] = {
        "decoding alone": lambda data: decode_image(data, keep_gray=True),
        "ours: file, pixels, picture": hash_image,
    }
    if peers is not None:
        runs |= {
            f"imagehash, {name}": lambda data, one=one: one(decode_image(data))
            for name, one in imagehashes(peers).items()
        }
    return {name: round(fastest(run, files), 1) for name, run in runs.items()}


def fastest(run: Callable[[bytes], Any], files: list[bytes]) -> float:
    """Return files a second, of the fastest of three turns."""
    best = 0.0
    for _ in range(3):
        start = time.process_time()
        for data in files:
            run(data)
        best = max(best, len(files) / (time.process_time() - start))
    return best


def main() -> int:
    """Measure, and write the figures; each part in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="where imagehash was installed")
    parser.add_argument("--output", type=Path, help="file for the figures")
    parser.add_argument("--part", choices=("match", "text", "search", "speed"), help="one part only, on stdout")
    parser.add_argument("--pictures", type=int, default=200_000, help="of the search")
    options = parser.parse_args()
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "match": lambda: match(options.peers),
        "text": burned_in_text.measure,
        "search": lambda: search(options.pictures),
        "speed": lambda: speed(options.peers),
    }
    if options.part:
        print(json.dumps(parts[options.part](), indent=1))
        return 0
    figures: dict[str, Any] = {
        "command": " ".join(["benchmarks/curation_images.py", *sys.argv[1:]]),
        "device": f"{platform.processor() or platform.machine()}, {len(os.sched_getaffinity(0))} cores, one used",
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "pillow": PIL.__version__},
    }
    for part in parts:
        ran = subprocess.run([sys.executable, __file__, *sys.argv[1:], f"--part={part}"], stdout=subprocess.PIPE)
        if ran.returncode:
            return ran.returncode
        figures[part] = json.loads(ran.stdout)
        print(json.dumps({part: figures[part]}, indent=1), flush=True)
    if options.output:
        options.output.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
