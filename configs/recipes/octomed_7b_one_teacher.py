"""The 7B recipe with one open teacher for all questions, with images and without, instead of the paper's two.

For ``configs/launch/teacher_gpu.py``, which serves one model: its endpoints come from the launch, so none stands here.
"""

from ml_collections import ConfigDict

from configs.octomed_7b import get_config as two_teachers


def get_config() -> ConfigDict:
    """Return the config of the full-size student with one teacher."""
    config = two_teachers()
    images = config.distill.teachers.images.to_dict()
    with config.unlocked():
        config.distill.teachers = ConfigDict({"teacher": {**images, "takes": "any", "endpoints": ()}})
    return config
