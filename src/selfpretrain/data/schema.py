"""The schema of a data set: decided on its training rows, and used as it is on every later row."""

from dataclasses import dataclass, field
from typing import Literal

from selfpretrain.config import TaskConfig

Form = Literal["whole", "steps", "channels"]
"""What a cell of a column is: a whole sequence, one step of it, or one channel of one step."""
Axes = Literal["ntc", "nct"]
"""Order of the axes of an array: rows, positions, channels; or rows, channels, positions."""
DateOrder = Literal["dmy", "mdy"]
LabelType = Literal["str", "int", "float", "bool"]


@dataclass(frozen=True, kw_only=True)
class Schema:
    """Which columns hold what, and how their cells are spelt; saved with every model.

    Attributes:
        sequence: names of the columns of the sequence; empty for sequences that have no column names.
        pair: the column of the second sequence of a row.
        form: what each column of ``sequence`` is.
        label, split, group, series, time: the columns with one plain cell a row.
        decimal: the sign before the fraction of a number in a text.
        axes: of arrays and lists with channels.
        dates: the order of day and month where a date does not show it.
        fold_case: whether upper and lower case are one.
        reordered: whether numbered columns were put in order.
        blanks: texts that say that a symbol is missing; None until training has shown what the symbols are.
        unlabelled: the class name that means "no label"; None where there is none.
        label_type: of the classes as they were given; predictions come in it.
        written: classes that were given in another spelling than their names; the first one of each.
        source: what the files of a folder are, such as recordings of a rate; empty for tables.
    """

    sequence: tuple[str, ...] = ()
    pair: str | None = None
    form: Form = "whole"
    label: str | None = None
    split: str | None = None
    group: str | None = None
    series: str | None = None
    time: str | None = None
    decimal: Literal[".", ","] = "."
    axes: Axes = "ntc"
    dates: DateOrder | None = None
    fold_case: bool = False
    reordered: bool = False
    blanks: tuple[str, ...] | None = None
    unlabelled: str | None = None
    label_type: LabelType = "str"
    written: dict[str, str] = field(default_factory=dict)
    source: str = ""

    @classmethod
    def asked(cls, config: TaskConfig) -> "Schema":
        """What options say of it; the names of columns are left open."""
        return cls(decimal=config.decimal, axes=config.axes or "ntc", dates=config.dates, fold_case=config.fold_case)

    @property
    def cells(self) -> tuple[str, ...]:
        """The columns of the sequence, or of both of a pair."""
        return (*self.sequence, self.pair) if self.pair else self.sequence

    @property
    def roles(self) -> dict[str, str]:
        """The columns with one plain cell a row, by what they hold."""
        named = {role: getattr(self, role) for role in ("label", "split", "group", "series", "time")}
        return {role: name for role, name in named.items() if name is not None}


AS_USUAL = Schema()
"""Sequences without column names, spelt as most are."""
