"""What the paper says of its corpus (arXiv 2511.23269, Figure 2): to be set beside the figures of another corpus.

The paper names neither the tokenizer that it counted with nor what its body regions are shares of.
"""

from typing import Any

REFERENCE = "arXiv 2511.23269, Figure 2"
COUNTS = {
    "instances": 8_095_571,
    "vision_language": 3_687_105,
    "text_only": 4_408_466,
    "unique_images": 494_328,
    "unique_questions": 1_808_981,
}
MEAN_TOKENS = {"question": 71.0, "response": 840.0}
BODY_REGIONS = {  # shares
    "chest": 0.4477,
    "eyes": 0.1859,
    "abdomen": 0.1785,
    "skin": 0.0637,
    "brain": 0.0443,
    "pelvis": 0.0326,
    "breast": 0.0246,
    "neck": 0.0143,
}


def table() -> dict[str, Any]:
    """Return the paper's figures as a card holds them; the traces of a question are the quotient of two of them."""
    return {
        "reference": REFERENCE,
        "counts": {**COUNTS, "traces_per_question": round(COUNTS["instances"] / COUNTS["unique_questions"], 2)},
        "mean_tokens": dict(MEAN_TOKENS),
        "body_regions": dict(BODY_REGIONS),
    }
