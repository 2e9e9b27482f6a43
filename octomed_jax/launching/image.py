"""The digest of a container image: what a tag stood for when a job was launched."""

import re

from octomed_jax.launching.tools import Ask

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def image_digest(image: str, ask: Ask) -> tuple[str, str]:
    """Return the digest of an image; where it cannot be told, an empty string and why not.

    Args:
        image: its reference, with a tag or a digest.
        ask: runs the tools that can tell: gcloud for Google's registries, docker for all.
    """
    if found := DIGEST.search(image.partition("@")[2]):
        return found[0], ""
    host = image.partition("/")[0]
    asked = []
    if host.endswith("pkg.dev"):
        asked.append(
            ["gcloud", "artifacts", "docker", "images", "describe", image, "--format=value(image_summary.digest)"]
        )
    asked.append(["docker", "buildx", "imagetools", "inspect", image, "--format={{.Manifest.Digest}}"])
    reasons = []
    for words in asked:
        answer = ask(words)
        if answer.code == 0 and (found := DIGEST.search(answer.out)):
            return found[0], ""
        reasons.append(f"{words[0]}: {answer.why}")
    return "", "; ".join(reasons)
