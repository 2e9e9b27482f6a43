"""``octomed verify``: judge attempts and keep the right ones, or judge the rows of a file, or explain one verdict."""

import contextlib
import re
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from ml_collections import ConfigDict
from rich.table import Table

from octomed_jax import configuration, progress, storage
from octomed_jax.cli.options import Parser, finish
from octomed_jax.errors import UserError
from octomed_jax.verification.check import REASONS, Rules
from octomed_jax.verification.explain import explain
from octomed_jax.verification.files import Summary, read_row, verify_file
from octomed_jax.verification.judge import Judge
from octomed_jax.verification.rows import question_of, responses_of
from octomed_jax.verification.verify import find_attempts, verify

DESCRIPTION = """Judges every attempt of a run by the rules of its task and keeps the right ones as traces.

With FILE (.jsonl or .parquet) it judges rows instead and writes them back with verdict, extracted, reason, judge and
verifier. A row holds answer, and responses (a list) or response; and where there are any, task, question, options,
aliases, lower_limit, upper_limit, finish_reason. The answer may be an option's text or its letter.

Verdicts: correct, wrong, unparsed (a careful reader would not decide), truncated. docs/verifier.md has the rules."""


def run(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        "verify",
        DESCRIPTION,
        "octomed verify --config=configs/demo.py\n  octomed verify answers.jsonl --output=judged.jsonl\n"
        "  octomed verify answers.jsonl --explain=3",
    )
    parser.add_argument("file", metavar="FILE", nargs="?", type=Path, help="rows to judge, .jsonl or .parquet")
    parser.add_config(required=False)
    parser.add_argument("--attempts", metavar="DIR", help="what `octomed distill` wrote (default: RUN/attempts)")
    parser.add_argument("--output", metavar="PATH", help="folder to write (default: RUN/traces), or file")
    parser.add_argument(
        "--explain",
        metavar="ROW",
        help="show how a verdict came about: N or N:RESPONSE of FILE (1 is first), or QUESTION_ID[:SAMPLE] of a run",
    )
    parser.add_argument("--reasons", action="store_true", help="list the reason codes")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    options, overrides = parser.read(arguments)
    if options.reasons:
        print("\n".join(f"{code:<20} {meaning}" for code, meaning in REASONS.items()))
        return 0
    if not options.file and not options.config:
        parser.error("give FILE, or --config for a run")
    config = configuration.load(options.config, overrides) if options.config else None
    if overrides and config is None:
        parser.error("an override needs --config")
    settings = config.get("verify") if config else None
    rules = rules_of(settings)
    if options.explain:
        return _explain(options, config, rules)
    if options.file:
        return _verify_file(parser, options, settings, rules)
    assert config
    return _verify_run(options, config, settings, rules)


def _verify_run(options: Namespace, config: ConfigDict, settings: ConfigDict | None, rules: Rules) -> int:
    attempts = options.attempts or f"{config.run}/attempts"
    output = options.output or f"{config.run}/traces"
    with judge_of(settings, Path(config.run) / "judge.jsonl") as judge:
        counts = verify(attempts, output, rules, judge).counts
    summary = (
        f"{counts['correct']} of {counts['asked']} attempts are right{_unchecked(counts['published'])}; "
        f"{counts['kept']} traces of {counts['questions_kept']} questions lie in {output}"
    )
    funnel = storage.read_json(f"{output}/funnel.json")
    _tell_judge(funnel.get("judge"), f"{output}/audit.jsonl")
    return finish(summary, {"output": str(output), **funnel}, options.json)


def _verify_file(parser: Parser, options: Namespace, settings: ConfigDict | None, rules: Rules) -> int:
    if not options.output:
        parser.error("FILE needs --output, or --explain")
    if options.attempts:
        parser.error("--attempts is of a run; FILE has its own rows")
    target = Path(options.output)
    if not target.name:
        parser.error(f"--output={options.output} is no file")
    with judge_of(settings, target.with_name(f"{target.stem}.judge.jsonl")) as judge:
        counted = verify_file(options.file, target, rules, judge)
        audit = target.with_name(f"{target.stem}.audit.jsonl")
        if judge:
            judge.write_audit(audit)
    print_verdicts(counted)
    for text in counted.changes.told(rules.name):
        progress.say(text)
    report = judge.report() if judge else None
    _tell_judge(report, str(audit))
    verdicts = counted.verdicts
    unchecked = counted.reasons["published"]
    right = f"{verdicts['correct'] - unchecked} of {verdicts.total()} responses of {counted.rows} rows are right"
    shares = right + _unchecked(unchecked)
    summary = f"{shares}; verdicts lie in {target}"
    result = {"output": str(target), "verifier": rules.name, **counted.table(), **({"judge": report} if report else {})}
    return finish(summary, result, options.json)


def rules_of(settings: ConfigDict | None) -> Rules:
    """Return the rules that a config names, or the usual ones.

    Raises:
        UserError: they are none.
    """
    if not settings:
        return Rules()
    try:
        return Rules(settings.open_rule, settings.threshold, tuple(settings.get("trust", ())))
    except ValueError as error:
        raise UserError(str(error)) from error


def _unchecked(count: int) -> str:
    return f" and {count} are taken as published, unchecked" if count else ""


@contextlib.contextmanager
def judge_of(settings: ConfigDict | None, memory: Path) -> Iterator[Judge | None]:
    """Yield the judge that a config names, or None; ``memory`` is where its replies are kept."""
    if not settings or not settings.judge.endpoint:
        yield None
        return
    from octomed_jax.teacher.ask import Asker

    chosen, name = settings.judge, "config.verify.judge"
    if chosen.in_flight < 1 or chosen.audit < 0:
        raise UserError(f"{name}: in_flight must be at least 1 and audit at least 0")
    with Asker(chosen.endpoint, chosen.model, chosen.api_key_env, chosen.in_flight, chosen.max_tokens, name) as asker:
        yield Judge(asker.ask, chosen.model, chosen.approved_access, memory, chosen.audit)


def _tell_judge(report: dict | None, audit: str) -> None:
    if not report:
        return
    agreement = "nothing to compare" if report["agreement"] is None else f"{report['agreement']:.1%}"
    progress.say(
        f"judge {report['judge']}: asked about {report['asked']}, {report['failed']} failed; agrees with the rules on "
        f"{agreement} of those wrong by rule; a sample to read lies in {audit}"
    )


def print_verdicts(counted: Summary) -> None:
    """Print what became of a file as a table, a line a reason."""
    table = Table(title="Verdicts", title_justify="left")
    for name in ("verdict", "reason"):
        table.add_column(name)
    for name in ("responses", "share"):
        table.add_column(name, justify="right")
    total = counted.verdicts.total() or 1
    for reason, count in sorted(counted.reasons.items(), key=lambda pair: (REASONS[pair[0]].split(":")[0], -pair[1])):
        verdict = REASONS[reason].split(":")[0]
        table.add_row(verdict, reason, str(count), f"{count / total:.1%}")
    progress.console.print(table)


def _explain(options: Namespace, config: ConfigDict | None, rules: Rules) -> int:
    if options.file:
        match = re.fullmatch(r"(\d+)(?::(\d+))?", options.explain)
        if not match or int(match[1]) < 1:
            raise UserError(
                f"--explain={options.explain} is no row of {options.file}; give N or N:RESPONSE, 1 is the first"
            )
        row, where = read_row(options.file, int(match[1])), f"row {match[1]}"
        question, pairs = question_of(row, where), responses_of(row, where)
        numbers = range(1, len(pairs) + 1)
        chosen = [(f"response {number}", question, *pair) for number, pair in zip(numbers, pairs, strict=True)]
        if match[2]:
            if not 1 <= int(match[2]) <= len(pairs):
                raise UserError(f"{where} of {options.file} has {len(pairs)} responses, no number {match[2]}")
            chosen = [chosen[int(match[2]) - 1]]
    else:
        assert config
        chosen = [
            (f"sample {one['sample_index']}", shown, one["response"], one["finish_reason"])
            for shown, one in find_attempts(options.attempts or f"{config.run}/attempts", options.explain)
        ]
    texts = []
    for name, shown, response, finish_reason in chosen:
        lines = list(explain(shown, response, finish_reason, rules))
        texts.append("\n".join([f"--- {name}", *lines] if len(chosen) > 1 else lines))
    return finish("\n\n".join(texts), {"explained": texts}, options.json)
