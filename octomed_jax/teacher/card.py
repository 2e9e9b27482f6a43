"""The card of an attempts folder: what was asked of whom, under which terms, and what came of it."""

from octomed_jax.manifests import Manifest
from octomed_jax.teacher.prompts import Prompt


def write_card(manifest: Manifest, prompt: Prompt) -> str:
    """Return the card as Markdown."""
    counts, config = manifest.counts, manifest.config
    lines = ["# Attempts", "", "Made by `octomed distill`: every sample of every teacher, whatever became of it.", ""]
    lines += ["## Teachers", ""]
    for teacher in manifest.extra["teachers"]:
        kind = "; no model: a program that knows the answers" if teacher["programmatic"] else ""
        takes = {"any": "any question", "text": "questions without images", "images": "questions with images"}
        lines.append(f"- {teacher['name']}: `{teacher['model']}`{kind}; asked {takes[teacher['takes']]}")
        lines.append(f"  - Terms: {teacher['terms'] or 'not stated in the config'}")
    shuffled = "shuffled for each request" if config["shuffle_options"] else "as the source has them"
    adaptive = f"; no more once {config['accept']} are correct" if config["accept"] else ""
    lines += [
        "",
        f"{config['samples']} samples a question and teacher{adaptive}; temperature {config['temperature']}, top-p "
        f"{config['top_p']}, at most {config['max_tokens']} tokens, images of at most {config['max_pixels']} pixels, "
        f"options {shuffled}, seed {config['seed']}.",
        "",
        f"Prompt `{prompt.name}`: {prompt.origin}.",
        "",
        "## Questions",
        "",
        f"- Licences: {', '.join(manifest.licences) or 'none stated'}",
        f"- Access: {manifest.access}",
        f"- Made from the questions folder `{manifest.inputs['questions']}`",
        "",
        "## Attempts",
        "",
        "| what | count |",
        "| --- | ---: |",
    ]
    plain = {name: value for name, value in counts.items() if not isinstance(value, dict)}
    lines += [f"| {name.replace('_', ' ')} | {value} |" for name, value in plain.items()]
    for name in ("verdicts", "finish_reasons"):
        lines += [f"| {name.removesuffix('s').replace('_', ' ')}: {key} | {n} |" for key, n in counts[name].items()]
    lines += ["", f"Verdicts are of verifier {manifest.extra['verifier']}; `octomed verify` judges them again.", ""]
    return "\n".join(lines)
