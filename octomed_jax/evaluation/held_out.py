"""A look at a student while it is trained: the loss on held-out records, and what it answers to some of them."""

import functools
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from octomed_jax import manifests, progress
from octomed_jax.configuration import answer_format_of
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.hf.rendering import student_folder
from octomed_jax.inputs.buckets import prompt_bucket
from octomed_jax.inputs.loader import StepSource, take_bad
from octomed_jax.inputs.plan import RowPlan
from octomed_jax.inputs.render import example_builder
from octomed_jax.inputs.rows import assemble
from octomed_jax.models import mesh as meshes
from octomed_jax.models.compute import Compute
from octomed_jax.models.ops.attention import UNITS
from octomed_jax.models.qwen2_5_vl.generate import generate
from octomed_jax.models.qwen2_5_vl.model import split_model
from octomed_jax.models.qwen2_5_vl.sampling import Sampling
from octomed_jax.traces.shards import ShardReader
from octomed_jax.training.loop import Moment
from octomed_jax.training.metrics import JsonLines
from octomed_jax.training.request import choose, read_rendered, share_of

SAMPLES = "samples.jsonl"


class HeldOut:
    """The hook of the training loop. Greedy answers go into ``samples.jsonl``, the loss into the step's metrics."""

    def __init__(self, config: ConfigDict, shards: Path, workdir: Path):
        """Plan the rows of the held-out records.

        Raises:
            UserError: no shards, none are held out, or none fits a row.
        """
        if not config.held_out.records:
            raise UserError("held_out.every asks for looks at held-out records; set held_out.records too")
        manifests.read_manifest(shards, "shard")
        self._skip_bad = config.train.bad_records == "skip"
        self._config, self._shards, self._workdir = config, shards, workdir
        self._student, self._answer_format = student_folder(config, shards), answer_format_of(config)
        index, self._spec = read_rendered(config, shards)
        chosen = choose(config, index, self._spec)
        held = chosen.held
        self._plan = RowPlan(held, chosen.buckets, config.train.examples_per_step, config.seed)
        if not self._plan.examples:
            raise UserError(f"none of the {config.held_out.records} held-out records fits a row; hold out more")
        self._records = np.unique(held.record)[: config.held_out.samples].tolist()
        self._samples: JsonLines | None = None

    def __call__(self, moment: Moment) -> dict[str, float]:
        """Return the loss on all held-out records as ``held_out_loss``; all processes of the job call this together."""
        with jax.set_mesh(moment.mesh):
            loss = self._loss(moment)
            if self._records:
                self._sample(moment)
        return {"held_out_loss": loss}

    def _loss(self, moment: Moment) -> float:
        graph, _ = split_model(moment.student.config, moment.student.trained.lora)
        share = share_of(moment.mesh, self._config, self._spec)
        steps = self._plan.steps_per_epoch
        rows = StepSource(self._plan, self._shards, self._student, self._answer_format, 0, steps, share, self._skip_bad)
        total = targets = 0.0
        for step in range(steps):
            batch = rows[step]
            for one in take_bad(batch):
                progress.say(f"train: the held-out loss leaves out a record: {one['problem']}")
            for bucket in batch.values():
                for micro in range(len(bucket["input_ids"])):
                    part = meshes.to_devices(moment.mesh, {name: values[micro] for name, values in bucket.items()})
                    # Added up here, in one order: what devices add up depends on how they are spread over processes.
                    sums = _row_sums(graph, moment.parameters, part, moment.student.compute)
                    total += np.asarray(sums[0], np.float64).sum()
                    targets += np.asarray(sums[1], np.float64).sum()
        return float(total / targets)

    def _sample(self, moment: Moment) -> None:
        graph, _ = split_model(moment.student.config, moment.student.trained.lora)
        builder = example_builder(self._student, self._answer_format)
        reader, compute = ShardReader(self._shards), moment.student.compute
        questions, examples = [], []
        for number in self._records:
            try:
                question = reader[number].question
                examples.append(builder.build(question, None))
                questions.append(question)
            except StopAndLook:  # named by the loss
                if not self._skip_bad:
                    raise
        if not examples:
            return
        bucket = prompt_bucket(
            max(len(example.token_ids) for example in examples),
            max(example.cells for example in examples),
            self._spec,
            UNITS[compute.attention] * moment.mesh.shape["sequence"],
        )
        devices = meshes.batch_devices(moment.mesh)
        count = -(-len(examples) // devices) * devices
        rows = assemble([[example] for example in examples], count, bucket, self._spec)
        mine = np.arange(count).reshape(devices, -1)[list(meshes.row_places(moment.mesh))].reshape(-1)
        result = generate(
            graph,
            moment.parameters,
            meshes.to_devices(moment.mesh, {name: values[mine] for name, values in rows.items()}),
            jax.random.split(jax.random.key(self._config.seed), count),
            max_new_tokens=self._config.held_out.max_new_tokens,
            stop_ids=builder.tokenizer.stop_ids,
            sampling=Sampling(),
            compute=compute,
        )
        if jax.process_index():
            return
        if self._samples is None:
            self._samples = JsonLines(self._workdir / SAMPLES, moment.step - 1)
        for row, question in enumerate(questions):
            text = builder.tokenizer.decode(result.tokens[row, : result.lengths[row]])
            fields = {"question_id": question.id, "question": question.question, "answer": question.answer}
            self._samples.write({"step": moment.step, **fields, "response": text})
        self._samples.send()


@functools.partial(jax.jit, static_argnames=("graph", "compute"))
def _row_sums(
    graph: nnx.GraphDef, parameters: dict, rows: Mapping[str, Array], compute: Compute
) -> tuple[Float[Array, "B"], Float[Array, "B"]]:
    """Return the sum of the losses of each row's target tokens, and their number, on every device."""
    weights_BL = rows["loss_weights"]
    losses_BL = nnx.merge(graph, parameters).token_losses(rows, compute)
    sums = jnp.sum(losses_BL * weights_BL, axis=1), jnp.sum(weights_BL, axis=1)
    return jax.lax.with_sharding_constraint(sums, jax.sharding.PartitionSpec())
