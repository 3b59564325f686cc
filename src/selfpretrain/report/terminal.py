"""The answer on a terminal."""

from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.panel import Panel
from rich.table import Column, Table
from rich.text import Text

from selfpretrain.comparison.judge import MAX_CONFUSION
from selfpretrain.comparison.plateau import counted
from selfpretrain.comparison.summary import Summary, mean_of
from selfpretrain.comparison.words import CAUSES, OUTCOMES, rates
from selfpretrain.data.task import TaskSummary
from selfpretrain.errors import one_line
from selfpretrain.explain.cells import Cell
from selfpretrain.explain.files import Findings
from selfpretrain.files import from_dict
from selfpretrain.metrics import UNITS, Unit
from selfpretrain.report.page import flops_unit
from selfpretrain.studies.study import StudyAnswer
from selfpretrain.use.evaluate import Evaluation

if TYPE_CHECKING:
    from selfpretrain.bench.bench import Bench

MAX_LINES = 8
"""Of a verdict; the report has all."""


def print_bench(console: Console, bench: "Bench") -> None:
    """Print the medians of steps beside the rivals', where a comparison's time goes, and the versions."""
    names = list(bench.steps[0].seconds)
    table = Table("step", *(names[0], *(f"{name} / {names[0]}" for name in names[1:])), box=SIMPLE_HEAD)
    for entry in bench.steps:
        ratios = {name: entry.ratios(name) for name in names[1:]}
        cells = (f"{median(values):.2f} ({values[0]:.2f} to {values[-1]:.2f})" for values in ratios.values())
        table.add_row(f"{entry.size}, {entry.phase}", f"{1e3 * median(entry.seconds[names[0]]):.1f} ms", *cells)
    console.print(table)
    console.print(f"medians of {len(bench.steps[0].seconds[names[0]])} rounds (smallest to largest), one thread")
    answer = bench.answer
    table = Table("where a comparison's time goes", "core-seconds", "share", box=SIMPLE_HEAD)
    for name, seconds in answer.parts.items():
        table.add_row(name, f"{seconds:.1f}", f"{seconds / sum(answer.parts.values()):.1%}")
    console.print(table)
    ratio = answer.trainer_seconds / answer.seconds
    console.print(
        f"the built-in example, seeds: {answer.seeds}, cores: {answer.cores}: {answer.seconds:.0f} s; its trainings"
        f" and validations with the Trainer: {answer.trainer_seconds:.0f} s, {ratio:.1f} times as long"
    )
    console.print(", ".join(f"{name} {version}" for name, version in bench.environment["packages"].items()))


def print_summary(console: Console, summary: Summary) -> None:
    """Print a table of arms, one of comparisons, and the verdict."""
    task = summary.task
    console.print(
        Text(
            f"\n{task.name}: {task.classes} classes, {task.n_train}/{task.n_val}/{task.n_test} {task.rows}"
            f" (train/val/test) of length {task.length}, commonest class {UNITS['accuracy'].level(task.majority)}"
        )
    )
    spent = {name: entry.flops_pretrain + entry.flops_label for name, entry in summary.arms.items()}
    unit, size = flops_unit(spent.values())
    metric, decides = UNITS[summary.metric], "test %" if summary.metric == "accuracy" else summary.metric
    columns = ("arm", "lr", "train %", "learnt", "val %", decides, "95% interval", unit, "seconds")
    # On a narrow terminal rates and intervals take two lines; names and numbers stay whole.
    own = (
        Column(name, no_wrap=name not in ("lr", "95% interval"), min_width=7 if name == "lr" else min(len(name), 8))
        for name in columns
    )
    arms = Table(*own, box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for name, entry in summary.arms.items():
        test = entry.mean_score(summary.metric)
        if test is None:
            arms.add_row(name, "-", "-", "-", "-", "every seed failed", "-", "-", "-")
            continue
        arms.add_row(
            name,
            rates(entry.lr),
            UNITS["accuracy"].bare(mean_of(entry.best_train_acc)),
            "{}/{}".format(*counted(entry.learnt)),
            UNITS["accuracy"].bare(mean_of(entry.val_acc)),
            metric.bare(test),
            _range(metric.bare, entry.test_ci95),
            "-" if entry.choice else f"{spent[name] / size:.3g}",
            f"{mean_of(entry.seconds):.1f}",
        )
    console.print(arms)
    if summary.comparisons:
        contrasts = Table("comparison", "at equal", metric.unit, "95% interval", "outcome", "cause", box=SIMPLE_HEAD)
        for c in summary.comparisons:
            contrasts.add_row(
                f"{c.arm} - {c.against}",
                c.matched,
                metric.lead(c.effect),
                _range(metric.lead, c.ci95),
                OUTCOMES[c.outcome],
                "-" if c.cause == "none" else CAUSES[c.cause].split(":")[0],
            )
        console.print(contrasts)
    for name, entry in summary.arms.items():
        for seed, why in entry.failures.items():
            console.print(Text(f"{name}, seed {seed} failed: {why}"))
    first, *rest = summary.verdict.lines
    if len(rest) >= MAX_LINES:
        rest = [*rest[: MAX_LINES - 2], f"{len(rest) - MAX_LINES + 2} more notes are in the report."]
    console.print(Panel(Text("\n").join([Text(first, style="bold"), *map(Text, rest)]), title="verdict"))


def _range(text: Callable[[float | None], str], bounds: tuple[float | None, float | None]) -> str:
    return "-" if bounds[0] is None else " to ".join(map(text, bounds))


def print_checks(console: Console, task: TaskSummary) -> None:
    """Print what was looked at in the data, and what to do."""
    table = Table("", "check", "result", box=SIMPLE_HEAD)
    for check in task.checks:
        table.add_row("!" if check.cure else "", check.what, Text(one_line(check.result)))
    console.print(table)
    doubts = [check for check in task.checks if check.cure]
    console.print(Text(f"{len(doubts)} to look at:" if doubts else "Nothing stands out; compare it."))
    for check in doubts:
        console.print(Text(one_line(f"  {check.what}: {check.cure}")))


def print_evaluation(console: Console, result: Evaluation) -> None:
    """Print every metric with its interval, and what each class is taken for."""
    for note in result.notes:
        console.print(Text(note))
    scores = Table("metric", "value", "95% interval", box=SIMPLE_HEAD)
    units: dict[str, Unit] = {name: unit for name, unit in UNITS.items()}
    units |= {"brier": Unit("Brier score", ""), "calibration_error": Unit("calibration error", "")}
    for name, value in result.scores.items():
        unit, bounds = units[name], result.ci95.get(name)
        scores.add_row(unit.title, unit.bare(value), "-" if bounds is None else _range(unit.bare, bounds))
    console.print(scores)
    if len(result.classes) <= MAX_CONFUSION:
        matrix = Table("class", box=SIMPLE_HEAD)
        for name in result.classes:
            matrix.add_column(Text(one_line(f"as {name}")))
        for name, row in zip(result.classes, result.confusion, strict=True):
            matrix.add_row(Text(one_line(name)), *map(str, row))
        console.print(matrix)
    groups = "" if result.groups is None else f" in {result.groups} groups, which intervals take as independent"
    console.print(f"{result.rows} labelled rows{groups}")


def print_study(console: Console, answer: StudyAnswer) -> None:
    """Print a table of claims, and the answer."""
    claims = Table("claim", "effect", "unit", "95% interval", "seeds", "outcome", box=SIMPLE_HEAD)
    for claim in answer.claims:
        effect = (claim.shown(claim.effect), claim.unit, claim.interval, str(claim.n_seeds))
        claims.add_row(Text(claim.claim), *effect, claim.outcome)
    console.print(claims)
    for case in answer.cases:
        if case.failure is not None:
            console.print(Text(f"{case.name} failed: {case.failure}"))
    console.print(Panel(Text(answer.answer), title=Text(answer.question)))


def print_conclusion(console: Console, findings: Findings) -> None:
    """Print what was transplanted and what follows."""
    recoveries = findings.conclusion["recoveries"]
    if recoveries:
        cells = Table("transplant", "share of the gain", "recovers most of it?", box=SIMPLE_HEAD)
        for r in recoveries:
            cells.add_row(
                from_dict(Cell, r["cell"]).words,
                "-" if r["share"] is None else f"{round(100 * r['share'])}%",
                r["answer"],
            )
        console.print(cells)
    console.print(Panel(Text("\n".join(findings.conclusion["sentences"])), title="why"))
