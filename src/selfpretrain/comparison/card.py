"""The model card in the folder of a recommended model: what it is, what it scores, and how to use it.

Its head is what the Hugging Face hub reads, so that the folder can be shared as it is.
"""

from selfpretrain.comparison.summary import Summary
from selfpretrain.errors import one_line
from selfpretrain.metrics import UNITS

CARD = "README.md"


def card_of(summary: Summary, *, averaged: bool = False, is_tested: bool = True) -> str:
    """The card of the model that is recommended, or of the mean of its arm's seeds.

    Args:
        is_tested: whether test rows were kept from training; what ``fit`` makes has none.
    """
    use, task, unit = summary.recommended, summary.task, UNITS[summary.metric]
    assert use is not None, "a model is recommended"
    what = use.choice or f"a Transformer (arm `{use.arm}`)"
    which = "the mean of its seeds" if averaged else f"seed {use.seed}"
    val, test = (use.average_val, use.average_test) if averaged else (use.val, use.test)
    scores = [unit.level(score) for score in (val, test if is_tested else None) if score is not None]
    data = task.data.line if task.data is not None else f"{task.name}: {'; '.join(task.notes)}"
    n_test, verb = (task.n_test, "compare") if is_tested else (0, "fit")
    classes = ", ".join(f"`{_plain(name)}`" for name in task.class_names)
    return "\n".join(
        [
            "---",
            "library_name: selfpretrain",
            "tags: [sequence-classification, self-pretraining]",
            f"metrics: [{summary.metric}]",
            "---",
            "",
            f"# {_plain(task.name)}: {use.arm}{'' if use.choice else f', {which}'}",
            "",
            f"This is {what}, made and picked by `selfpretrain {verb}`.",
            f"It classifies sequences of up to {task.length} positions ({task.kind}); its classes are {classes}.",
            "",
            f"| {unit.title} on validation, which picked it |{' on test |' if is_tested else ''}",
            "|---|---|" if is_tested else "|---|",
            f"| {' | '.join(scores)} |",
            "",
            "## Use",
            "",
            "```",
            "selfpretrain predict THIS_FOLDER new.csv --out scored.csv",
            "```",
            "",
            "```python",
            "from selfpretrain import load_model",
            "",
            'load_model("THIS_FOLDER").predict_proba(rows)',
            "```",
            "",
            "## Data",
            "",
            _plain(data),
            f"{task.n_train} rows for training, {task.n_val} for validation, {n_test} for the test.",
            "",
            *(_compared(summary) if is_tested else ()),
        ]
    )


def _compared(summary: Summary) -> list[str]:
    unit = UNITS[summary.metric]
    rows = [
        f"| `{arm}` | {unit.level(mean)} | {unit.level(low)} to {unit.level(high)} |"
        for arm, entry in summary.arms.items()
        if (mean := entry.mean_score(summary.metric)) is not None
        if (low := entry.test_ci95[0]) is not None and (high := entry.test_ci95[1]) is not None
    ]
    return [
        "## What was compared",
        "",
        f"| arm | test {unit.title}, mean of its seeds | 95% interval |",
        "|---|---|---|",
        *rows,
        "",
        *(f"* {_plain(line)}" for line in summary.verdict.lines),
        "",
    ]


def _plain(text: str) -> str:
    """Text of others in one line of Markdown, without what would end a code span or a cell of a table."""
    return one_line(text).replace("`", "'").replace("|", "/")
