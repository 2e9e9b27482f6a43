"""What a run would be given, as far as that is known before it starts: its model and its rows."""

from pathlib import Path

from ml_collections import ConfigDict

from octomed_jax.configuration import training_seed
from octomed_jax.errors import UserError
from octomed_jax.hf.base import base_folder, side_folder
from octomed_jax.hf.rendering import is_rendered, student_folder
from octomed_jax.hf.student import planned_config
from octomed_jax.images.patches import PatchSpec
from octomed_jax.inputs.paper_mix import paper_mix
from octomed_jax.inputs.plan import RowPlan
from octomed_jax.inputs.render import read_patch_spec
from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig, read_config
from octomed_jax.training.chosen import row_buckets
from octomed_jax.training.request import make_plan

MIX_EXAMPLES = 20_000  # rows of as many are like those of any number


def expected_model(config: ConfigDict, shards: Path, missing: dict[str, str]) -> Qwen25VLConfig:
    """Return the architecture from the nearest place that has it; ``missing`` gets what is not there yet."""
    if config.student.base:
        try:
            return read_config(side_folder(base_folder(config.student)))
        except UserError:
            missing[config.student.base] = "sizes are those of the config; get it with `octomed import`"
    elif is_rendered(config, shards):
        return read_config(student_folder(config, shards))
    return planned_config(config.student)


def has_shards(config: ConfigDict, shards: Path, missing: dict[str, str]) -> bool:
    """Return whether there are shards, rendered for the config's student; ``missing`` gets them if not."""
    if config.student.base and not Path(config.student.base).is_dir():
        missing[config.student.base] = "sizes are those of the config; get it with `octomed import`"
    elif is_rendered(config, shards):
        return True
    missing[str(shards)] = "rows cannot be planned yet; make it with `octomed shard`"
    return False


def expected_rows(config: ConfigDict, shards: Path, missing: dict[str, str]) -> tuple[RowPlan, PatchSpec]:
    """Return the rows of the shards or, where there are none yet, rows of a mix like the paper's."""
    if has_shards(config, shards, missing):
        return make_plan(config, shards), read_patch_spec(student_folder(config, shards))
    missing[str(shards)] = "rows are those of a mix like the paper's; `octomed shard` makes the real ones"
    index, spec = paper_mix(MIX_EXAMPLES), PatchSpec(max_pixels=config.shard.max_pixels)
    if config.train.epochs:
        missing["train.epochs"] = (
            f"the run's steps are those of epochs of {MIX_EXAMPLES:,} examples; `octomed shard`, or give train.steps"
        )
    seed = training_seed(config)
    return RowPlan(index, row_buckets(config, index, spec), config.train.examples_per_step, seed), spec
