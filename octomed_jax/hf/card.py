"""The model card of an export: where it comes from, what it was trained on, what was measured, what it is not for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from octomed_jax import licences
from octomed_jax.hf.checkpoint import Checkpoint
from octomed_jax.manifests import Manifest
from octomed_jax.plain_text import plain

LIMITS = """## Limits

**Not for clinical use.** It is a research model: it states wrong things fluently, with a confident chain of thought.
Its training answers were checked in their final line only, so the reasoning above it may be wrong where the answer is
right. It knows the image kinds, languages and question forms of its training data; elsewhere nothing was measured.
Benchmark accuracy says nothing of safety on patients."""


def model_card(
    source: Checkpoint, manifest: Manifest, figures: Mapping, metrics: Mapping | None, chosen: Sequence[str] = ()
) -> str:
    """Return README.md of an exported folder.

    Args:
        source: what was exported.
        manifest: of the export.
        figures: of its verification, by level.
        metrics: results of ``octomed eval run``, None where nothing was measured.
        chosen: how it was chosen out of several, a sentence each; empty where it was not.
    """
    parts = [
        f"---\n{yaml.safe_dump(_front_matter(source, manifest), sort_keys=False)}---",
        f"# {_title(source)}",
        _origin(source, manifest),
        _recipe(source),
        _data(source),
        _measured(metrics),
        _chosen(chosen),
        _checks(figures),
        LIMITS,
        "`provenance.json` names every file by SHA-256, the settings of the run, its data and the code's commit.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(source: Checkpoint, manifest: Manifest) -> dict[str, Any]:
    # What the data's licences make of the weights is for a person to say.
    licence = (
        {"license": "other", "license_name": "see-data"}
        if source.data
        else source.base.get("licence") or {"license": "other"}
    )
    if source.access != "open":
        licence = {"license": "other", "license_name": "credentialed-data"}
    fields = {
        **licence,
        "library_name": "peft" if manifest.config["adapter"] else "transformers",
        "pipeline_tag": "image-text-to-text",
        "tags": ["medical", "qwen2_5_vl", "octomed_jax"],
        "language": ["en"],
    }
    if source.base and "/" in source.base["model"]:
        fields["base_model"] = source.base["model"]
    return fields


def _title(source: Checkpoint) -> str:
    if not source.run:
        return plain(source.base["model"])
    return (
        f"{source.base['model']}, trained by the OctoMed recipe" if source.base else "A student of the OctoMed recipe"
    )


def _origin(source: Checkpoint, manifest: Manifest) -> str:
    counts = manifest.counts
    base = f"`{plain(source.base['model'])}`" if source.base else "random weights"
    if source.base.get("revision"):
        base += f" (revision `{plain(source.base['revision'])}`)"
    what = "LoRA adapters for PEFT, beside" if manifest.config["adapter"] else "Weights in the published layout of"
    licence = plain(", ".join(source.base.get("licence", {}).values())) or "not stated by its folder"
    return (
        f"{what} Qwen2.5-VL: {counts['parameters']:,} parameters in {manifest.config['dtype']}, {counts['files']} "
        f"file(s). Written by octomed_jax {manifest.code_version} (commit `{manifest.code_commit}`).\n\n"
        f"Base model: {base}." + (f" Its licence: {licence}." if source.base else "")
    )


def _recipe(source: Checkpoint) -> str:
    if not source.run:
        return "## Recipe\n\nNone: imported and written again, not trained."
    train = source.run["train"]
    trained = ", ".join(train["trained"]) or "adapters only"
    lines = [
        f"Supervised fine-tuning, step {source.request['step']:,} of {_length(train)}; "
        f"{train['examples_per_step']} examples a step.",
        f"AdamW, {train['schedule']} schedule, peak learning rate {train['peak_learning_rate']}, "
        f"warm-up over {train['warmup_ratio']:.0%} of the steps, weight decay {train['weight_decay']}, "
        f"gradients clipped at {train['clip_norm']}.",
        f"Computed in {train['dtype']}; trained: {trained}"
        + (f"; LoRA rank {source.lora.rank}, alpha {source.lora.alpha}." if source.lora else "."),
        f"Rows of {train['tokens_per_row']} tokens; answers in the `{source.run['answer_format']}` format; seed "
        f"{source.run['seed'] if train.get('seed') is None else train['seed']}.",
    ]
    return "## Recipe\n\n" + "\n".join(f"- {line}" for line in lines)


def _length(train: Mapping[str, Any]) -> str:
    return f"{train['epochs']:g} epochs" if train.get("epochs") else f"{train['steps']:,}"


def _data(source: Checkpoint) -> str:
    if not source.data:
        said = [text for text in (_credentialed(source), _terms(source)) if text]
        return "\n\n".join(["## Data", *said]) if said else ""
    counts, sources = source.data["counts"], source.data["extra"].get("sources", {})
    lines = [
        f"{counts['examples']:,} accepted responses to {counts['records']:,} questions, {counts['images']:,} images. "
        f"Data manifest: `{Manifest(**source.data).identity}`. Access class: **{source.access}**. Licences of "
        f"the sources: {', '.join(source.licences) or 'not stated'}."
    ]
    lines += [text for text in (_credentialed(source), _terms(source), _mixture(source)) if text]
    if sources:
        lines.append(_sources(sources, source))
    learned = {name: one for name, one in sources.items() if name not in source.left_out}
    if unchecked := {name: one["published"] for name, one in learned.items() if one.get("published")}:
        shown = ", ".join(f"{name} ({count:,})" for name, count in unchecked.items())
        lines.append(f"Taken as published, since there is no gold to check them against: responses of {shown}.")
    if teachers := source.data["extra"].get("teachers"):
        lines.append("\n".join(["Teachers that wrote the responses:", "", *map(_teacher, teachers)]))
    return "## Data\n\n" + "\n\n".join(lines)


def _mixture(source: Checkpoint) -> str:
    """Return how an epoch mixed the sources, where it is known."""
    if not source.mixture:
        return ""
    asked = source.mixture["asked"]
    fields = [
        f"{field} "
        + (", ".join(f"{name}={one}" for name, one in set_to.items()) if field != "examples" else str(set_to))
        for field, set_to in asked.items()
    ]
    text = f"Mixture of an epoch: {plain('; '.join(fields)) or 'every example once'}. "
    text += f"{source.mixture['held_out_records']:,} records were held out and not trained on."
    if source.left_out:
        names = ", ".join(map(plain, sorted(source.left_out)))
        text += f" Not trained on, of the data above: {names}"
        text += "." if source.base else "; the vocabulary was made of their texts too."
    return text


def _sources(sources: Mapping[str, Mapping[str, Any]], source: Checkpoint) -> str:
    epoch = {row["source"]: row["examples_an_epoch"] for row in source.mixture.get("sources", ())}
    head = ["source", "questions", "responses", *["examples an epoch"] * bool(epoch)]
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    for name, one in sources.items():
        number = epoch.get(name, 0)
        cells = [name, f"{one['questions']:,}", f"{one['responses']:,}"]
        cells += [f"{number:,}" if number else "left out"] * bool(epoch)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _teacher(teacher: Mapping[str, Any]) -> str:
    kind = " (a program that knows the answers, no model)" if teacher["programmatic"] else ""
    terms = plain(teacher["terms"]) or "not stated"
    return f"- `{plain(teacher['model'])}`{kind}, prompt `{teacher['prompt']}`; terms: {terms}"


def _credentialed(source: Checkpoint) -> str:
    if source.access == "open":
        return ""
    return "It was trained on credentialed data, whose terms of use bind whoever uses or shares the model."


def _terms(source: Checkpoint) -> str:
    """Return what the licences of its data ask, and of the data that its base was trained on."""
    by_source = {name: one["licences"] for name, one in source.made_of.items() if one.get("licences")}
    if not by_source:  # shards of before did not say whose they are
        by_source["its data"] = source.data.get("licences", ())
    by_source["data of its base model"] = source.base.get("data_licences", ())
    lines = licences.notes(by_source)
    return "\n".join(["What the licences of the data ask:", "", *(f"- {line}" for line in lines)]) if lines else ""


def _measured(metrics: Mapping | None) -> str:
    if not metrics:
        return "## Measured\n\nNothing was measured when this card was written."
    rows = []
    for name, one in sorted(metrics["benchmarks"].items()):
        low, high = one["wilson"]
        rows.append(
            f"| {name} | {one['n']} | {one['accuracy']:.1%} | {low:.1%} to {high:.1%} | {one['baseline']:.1%} | "
            f"{one['unparsed']} |"
        )
    head = ["| benchmark | questions | accuracy | 95 % interval (Wilson) | best constant answer | unparsed |"]
    return "\n".join(["## Measured", "", *head, "| --- | ---: | ---: | ---: | ---: | ---: |", *rows])


def _chosen(sentences: Sequence[str]) -> str:
    lines = [f"- {plain(sentence)}" for sentence in sentences]
    return "\n".join(["## How it was chosen", "", *lines]) if lines else ""


def _checks(figures: Mapping) -> str:
    lines = list(_check_lines(figures))
    return "## Checked\n\n" + ("\n".join(f"- {line}" for line in lines) if lines else "Not checked.")


def _check_lines(figures: Mapping) -> Iterator[str]:
    if one := figures.get("structure"):
        yield f"structure: names, shapes and dtypes of {one['tensors']} tensors, index, side files and config"
    if one := figures.get("roundtrip"):
        yield f"roundtrip: {one['parameters']:,} parameters read back as they were, bit for bit"
    if one := figures.get("transformers"):
        yield (
            f"transformers {one['transformers']}: logits equal to {one['max_logit_diff']:.1e} in {one['dtype']}, on "
            f"{one['prompts']} prompts of up to {one['prompt_tokens']} tokens"
        )
    if one := figures.get("vllm"):
        difference = f"{one['max_logprob_diff']:.1e}"
        yield f"vLLM {one['vllm']}: log-probabilities equal to {difference} on {one['prompts']} prompts"
