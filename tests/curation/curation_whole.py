"""Questions, attempts and a config for every step at once, the ones that decode images and read attempts too."""

from pathlib import Path

from curation_helpers import held, make, make_config, mixed, text, write_attempts
from curation_images import jpeg, patient, png, real_image, shown
from PIL import Image

EVERY_STEP = ("metadata", "decontaminate", "deduplicate", "balance", "difficulty", "transform")
EVERY_CONFIG = make_config(
    EVERY_STEP,
    decontaminate={"images": ("bytes", "pixels", "near")},
    deduplicate={"images": "near"},
    transform={"max_pixels": 56 * 56, "burned_text": "drop"},
)
EVERY_OPTION = (
    f"--config.curate.steps={EVERY_STEP}",
    "--config.curate.decontaminate.images=('bytes', 'pixels', 'near')",
    "--config.curate.deduplicate.images=near",
    f"--config.curate.transform.max_pixels={56 * 56}",
    "--config.curate.transform.burned_text=drop",
)
# What each step has to do of it, so that none is done on nothing.
EVERY_REASON = {
    *("words", "image_bytes", "image_pixels", "image_near", "same", "near", "surplus", "too_hard", "too_easy"),
    "burned_text",
}


def every_question():
    """Return questions of which each step takes some, for each reason of EVERY_REASON."""
    questions = mixed()
    for seed in range(6):
        image = patient(seed, side=96)
        saved = {
            "a": png(image),
            "b": png(image.convert("RGB")),
            "c": jpeg(image),
            "d": png(image.resize((80, 80), Image.Resampling.LANCZOS)),
        }
        # Those of the first are held out, those of the next are copies of one another, the others are shown once.
        about = text(f"shown {seed}", 20)
        questions += [
            shown(make(f"shown-{seed}-{name}", about if seed < 4 else f"{about} {name}", modality="CT"), data)
            for name, data in saved.items()
        ]
    labelled = png(real_image("ultrasound").crop((0, 0, 400, 200)))
    questions.append(shown(make("labelled", text("labelled"), modality="ultrasound"), labelled))
    return [*questions, shown(held("held patient", text("held patient")), png(patient(0, side=96)))]


def every_attempt(folder: Path) -> Path:
    """Write attempts at all of these questions, none of which is right in all or in the fewest of cases."""
    train = [one.id for one in every_question() if one.split == "train"]
    right = {name: 16 if name.endswith("7") else 0 if name.endswith("5") else 9 for name in train}
    return write_attempts(folder, right)
