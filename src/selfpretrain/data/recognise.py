"""Which columns of a table hold what: the ``Schema`` of its rows.

What no option says is guessed, in this order: a table with a row for each time step, the label, the sequence, and the
columns that are no steps. What can be taken two ways is refused, with the option that decides.
"""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import cache, cached_property
from itertools import chain, combinations
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import TaskConfig
from selfpretrain.data.columns import codes_of, family, listed, numbers_of, plain_codes, some
from selfpretrain.data.guess import RECURRENCE, SAMPLE_ROWS
from selfpretrain.data.schema import Form, Schema
from selfpretrain.data.spelling import NUMERIC_SHARE, as_number, is_list, one_comma, refuse, tokens
from selfpretrain.data.table import Table
from selfpretrain.data.times import date_order, sort_keys
from selfpretrain.errors import RequestError

SEQUENCE_NAMES = ("sequence", "seq", "text", "x", "values", "tokens")
LABEL_NAMES = ("label", "labels", "class", "target", "y")
AXES_NAMES = ({"x", "y", "z"}, {"x", "z"})
"""Names of axes of space; where all of a set are columns, none of them is a sequence or a class."""
INDEX_NAMES = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
"""Columns that pandas writes for its index; never taken for a step unless asked for."""
WHO = re.compile(
    "ids?|[pu]id|(?:user|patient|sample|customer|case)id|u?guid|uuid|mrn|accession|subj(?:ect)?|patient|participant|person|user"
    "|customer|client|household|rec(?:ord(?:ing)?)?|session|trial|visit"
)
WHEN = re.compile("timestamp|datetime|date|recorded|created|updated|ts")
"""Words in the names of identifiers and persons, and of times of recording, which are never steps unless asked for."""
SHARED = re.compile(
    "doc(?:ument)?|speaker|author|writer|machine|device|sensor|site|hospital|animal|family|group|source|file|batch|well"
    "|plate|lot|donor|cage|litter|colony|vehicle|farm|plot"
)
"""Words in the names of what rows may share, beside persons."""
PERHAPS = re.compile("name|key|index|idx|time|row|sample|case|fold|group|no|nr|num|number")
"""Words that say so only where the cells do: names, or whole numbers that are all different."""
SAMPLED_CELLS = 2**17
"""Cells that are looked at to see what columns hold, of each column at least ``FEWEST_ROWS`` (ours)."""
FEWEST_ROWS = 32
LONG_RECURRENCE = 3
"""In a table with a row for each time step, a series has at least so many rows on average (ours)."""
RISING_SHARE = 0.5
"""Of the steps of a series at least this share is later than the one before, and none earlier (ours)."""
MOST_ROLES = 64
"""Columns that are looked at for series, time and label of such a table (ours)."""
THOUSANDS = r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?"
"""A number with commas between its thousands."""
FEWEST_STEPS = 3
"""Fewer numbered columns are no family of steps (ours)."""
LARGE_SHARE, SMALL_SHARE = 0.5, 0.25
"""A family with this share of the columns that may be steps is the steps; with less than the second share it is as any
other columns; between the two it is asked (ours)."""
RECURRING = 3
"""Texts that stand in so many rows on average are answers or names, and no sequences (ours)."""
Codes = Mapping[str, NDArray[np.int64]]
"""The number of each cell's value, by the column's name; see ``codes_of``."""


def recognised(where: Path | str, table: Table, config: TaskConfig, notes: list[str]) -> Schema:
    """The schema of a table, by options or else by its names and cells; ``notes`` get what a reader should know.

    Raises:
        RequestError: a column that was asked for is not there, or columns can be taken two ways.
    """
    names, columns, schema = table.names, table.columns, Schema.asked(config)
    for role in ("series", "time", "label", "split", "group", "pair"):
        if (asked := getattr(config, role)) and asked not in (*names, *table.unreadable):
            close = get_close_matches(asked, names, n=1)
            meant = f"did you mean {close[0]}? The columns" if close else "the columns"
            refuse(where, None, f"no column '{asked}' (--{role}); {meant} are {_shown(names)}")
    for name in filter(None, (config.series, config.time, config.split, config.group)):
        plain_codes(where, name, columns[name])
    rows = min(SAMPLE_ROWS, max(FEWEST_ROWS, SAMPLED_CELLS // max(1, len(names))))
    look = {name: _Column(name, columns[name], rows, schema.decimal) for name in names}
    split = config.split or {name.lower(): name for name in reversed(names)}.get("split")
    is_named = config.series is not None or config.sequence is not None or config.pair is not None
    labels = {config.label, split, *_label_names(names)}
    if not is_named and not any(look[name].sequences for name in names if name not in labels):
        _refuse_long(where, table, look, config, split)
    label = config.label or _label(where, table, config, split, notes)
    taken = {name for name in (label, split) if name}
    for role in ("pair", "group"):
        if (asked := getattr(config, role)) in taken:
            refuse(where, None, f"--{role} names the column '{asked}', which is taken for something else already")
        taken |= {asked} - {None}
    if config.time is not None and config.dates is None:
        schema = replace(schema, dates=date_order(where, config.time, listed(columns[config.time])))
    others = [name for name in names if name not in taken | {config.series, config.time}]
    if config.sequence is not None:
        sequence = _asked(where, config.sequence, look, others, taken)
    elif config.series is not None:
        sequence = _channels(table, look, config.series, others, notes)
    else:
        sequence = _guessed(where, look, [name for name in others if look[name].first], notes)
        _refuse_unreadable(table, sequence)
    if not sequence:
        for reason in table.unreadable.values():
            raise RequestError(reason)
        refuse(where, None, f"there is no column beside the label; name the sequence with --sequence ({some(names)})")
    if config.pair and len(sequence) > 1:
        several = f"there are {len(sequence)} columns for the first"
        refuse(where, None, f"--pair names one column for the second sequence, and {several}; name it with --sequence")
    form: Form = "channels" if config.series is not None else "steps" if len(sequence) > 1 else "whole"
    if form == "whole":
        _refuse_number(where, sequence[0], look[sequence[0]], config)
    if len(sequence) > 1:
        _refuse_mixture(where, look, sequence, form)
    return replace(
        schema,
        sequence=tuple(sequence),
        pair=config.pair,
        form=form,
        label=label,
        split=split,
        group=config.group,
        series=config.series,
        time=config.time,
        reordered=form == "steps" and sequence != _in_order_of(names, sequence),
    )


class _Column:
    """What a column holds, by its first cells."""

    def __init__(self, name: str, cells: Any, rows: int, decimal: str) -> None:
        self._name, self._cells, self._rows, self._decimal = name, cells, rows, decimal

    @cached_property
    def first(self) -> list[Any]:
        """The first cells that are not empty."""
        return [cell for cell in listed(self._cells[: self._rows]) if cell is not None]

    @cached_property
    def whole(self) -> bool:
        """Whether most cells are whole sequences: lists, or texts of several entries."""
        if isinstance(self._cells, np.ndarray) and self._cells.ndim > 1:
            return True
        return 2 * sum(map(self._several, self.first)) > len(self.first)

    def _several(self, cell: Any) -> bool:
        if not isinstance(cell, str):
            return isinstance(cell, list | tuple | np.ndarray)
        if as_number(cell) is not None or one_comma(cell) or re.fullmatch(THOUSANDS, cell):
            return False
        return is_list(cell) or len(tokens(cell, self._decimal)) > 1

    @cached_property
    def sequences(self) -> bool:
        """Whether the cells are whole sequences, and no times, names or answers of several words."""
        if not self.whole or not self.first or not isinstance(self.first[0], str) or is_list(self.first[0]):
            return self.whole
        recurs = RECURRING * len(set(map(str, self.first))) <= len(self.first)
        return not (recurs or self.role or _keys_of(self.first[:FEWEST_ROWS], Schema()) is not None)

    @cached_property
    def role(self) -> str:
        """What name and cells say: ``who`` for identifiers and persons, ``when`` for times of recording, or nothing."""
        words = _words(self._name)
        sorts = {"who": WHO, "when": WHEN, "perhaps": PERHAPS}
        sort = next((sort for sort, known in sorts.items() if any(map(known.fullmatch, words))), "")
        if not sort or self._has_fractions:
            return ""  # no such name, or a measurement
        if sort != "perhaps":
            return sort
        role = "when" if "time" in words else "who"
        return role if len(set(map(str, self.first))) == len(self.first) else ""

    @cached_property
    def numeric(self) -> bool:
        """Whether all but a few cells are plain numbers; codes such as 007 are none."""
        if isinstance(self._cells, np.ndarray) and self._cells.dtype.kind in "iuf":
            return True
        cells = [cell.replace(self._decimal, ".") if isinstance(cell, str) else cell for cell in self.first]
        if any(isinstance(cell, str) and re.match(r"\s*0\d", cell) for cell in cells):
            return False
        return sum(as_number(cell) is not None or one_comma(cell) for cell in cells) >= NUMERIC_SHARE * len(cells)

    @cached_property
    def _has_fractions(self) -> bool:
        numbers = (as_number(cell) for cell in self.first)
        return self.numeric and any(number is not None and number != np.floor(number) for number in numbers)

    @property
    def named(self) -> bool:
        """Whether the cells are the names of rows, such as s001."""
        words = list(map(str, self.first))
        return len(set(words)) == len(words) and all(re.fullmatch(r"\D{0,20}\d+", word) for word in words)

    @cached_property
    def counts(self) -> bool:
        """Whether the cells number their rows, or name each by another word: an identifier whatever it is called."""
        if self._has_fractions:
            return False  # before all cells are looked at
        codes = codes_of(self._cells)
        if codes is None or len(codes) < 3 or int(codes.max()) + 1 < len(codes):
            return False
        numbers = [as_number(cell) for cell in listed(self._cells)]
        if None in numbers:
            return set(numbers) == {None} and self.named
        return bool((np.diff(np.sort(np.array(numbers, dtype=np.float64))) == 1).all())


Look = Mapping[str, _Column]


def perhaps_groups(where: Path | str, table: Table, names: Iterable[str], series: str | None) -> list[str]:
    """Those of the columns which are called as persons or things are, and hold the same one in several rows.

    Args:
        series: the column of the series, where each row is a time step; the same one is then held by several series.
    """
    called = [name for name in names if any(WHO.fullmatch(word) or SHARED.fullmatch(word) for word in _words(name))]
    codes = _codes_by_name(table, [name for name in called if name in table.columns][:MOST_ROLES])
    if series is not None:
        return _constant(plain_codes(where, series, table.columns[series]), codes)
    return [name for name, own in codes.items() if 2 <= int(own.max(initial=-1)) + 1 < np.count_nonzero(own >= 0)]


def _words(name: str) -> list[str]:
    """The words of a column's name.

    >>> _words("recorded_at"), _words("PatientID3")
    (['recorded', 'at'], ['patient', 'id'])
    """
    return re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())


def _refuse_number(where: Path | str, name: str, column: _Column, config: TaskConfig) -> None:
    if config.kind == "bytes" or column.whole or not column.numeric:
        return
    if not column.first or not all(map(one_comma, column.first)):  # else the comma is what is wrong with it
        cure = "name the steps with --sequence, or give --kind bytes if its digits are the sequence"
        refuse(where, None, f"column '{name}' has one number a row, which is no sequence; {cure}")


def _refuse_mixture(where: Path | str, look: Look, names: Sequence[str], form: Form) -> None:
    """Refuse numbers beside words, and texts, as steps of one sequence or as channels."""
    numeric = {look[name].numeric: name for name in reversed(names)}
    if False not in numeric:
        return
    words = numeric[False]
    if True in numeric:
        problem = f"column '{words}' holds words and '{numeric[True]}' numbers"
        if form == "channels":
            cure = f"name the channels with --sequence, or give each {words} a column of its own"
            refuse(where, None, f"{problem}; {cure}")
        cure = f"name the sequence with --sequence, --sequence {words} if it is that one"
        refuse(where, None, f"{problem}, so they are no steps of one sequence; {cure}")
    first, cells = look[words].first, list(map(str, chain.from_iterable(look[name].first for name in names)))
    texts = [name for name in names if 2 * len(set(map(str, look[name].first))) > len(look[name].first)]
    if len(cells) >= RECURRENCE * len(set(cells)) or len(first) <= 2 * FEWEST_STEPS or not texts:
        return  # the words recur, as symbols do
    if len(texts) < len(names):
        if texts[0] not in chain.from_iterable(family(names)):
            cure = f"give --sequence {texts[0]} if it is the sequence, or --sequence a,b,.. if each is a step"
            refuse(where, None, f"column '{texts[0]}' holds texts beside columns of words; {cure}")
        return
    if re.search(r"\d", str(first[0])) and len(names) >= FEWEST_STEPS:
        refuse(where, 0, f"'{first[0]}' in column '{words}' is no number; write plain numbers")
    _refuse_both(where, names, "sequence", "sequence")


def _refuse_unreadable(table: Table, sequence: Sequence[str]) -> None:
    """Refuse a column that cannot be read, if it would be one of the steps that were guessed."""
    for name, reason in table.unreadable.items():
        families = family([*sequence, name])
        if len(sequence) > 1 and (not families or name in families[0]):
            raise RequestError(reason)


def _refuse_both(where: Path | str, names: Sequence[str], what: str, option: str) -> NoReturn:
    refuse(where, None, f"{' and '.join(names[:2])} could both be the {what}; name it with --{option}")


def _label(where: Path | str, table: Table, config: TaskConfig, split: str | None, notes: list[str]) -> str:
    """The label column, by its name; without a header the first or the last column; of series the one that fits."""
    names = table.names
    if table.headless:
        return _label_without_header(where, table, config, notes)
    candidates = _label_names([*names, *table.unreadable])
    if config.series is not None:
        groups = plain_codes(where, config.series, table.columns[config.series])
        roles = [name for name in names if name not in (config.series, config.time, split)]
        fitting = _constant(groups, _codes_by_name(table, roles))
        candidates = [name for name in candidates if name in fitting] or candidates or fitting
    if len(candidates) > 1:
        _refuse_both(where, candidates, "class", "label")
    if not candidates:
        cure = "" if table.typed or config.header else ", or give --header no if the first row is data"
        problem = f"no column is called label; name it with --label (the columns are {_shown(names)})"
        refuse(where, None, f"{problem}{cure}")
    return candidates[0]


def _label_names(names: Sequence[str]) -> list[str]:
    """Columns that are called what a class is called."""
    axes, by_lower = axes_among(names), {name.lower(): name for name in reversed(names)}
    return [by_lower[name] for name in LABEL_NAMES if name in by_lower and by_lower[name] not in axes]


def _shown(names: Sequence[str]) -> str:
    """The names for a reader, those that are no numbered ones first."""
    numbered = set(chain.from_iterable(family(names)))
    return some(sorted(names, key=lambda name: name in numbered))


def axes_among(names: Sequence[str]) -> set[str]:
    """Columns that are axes of space, and so no sequence and no class."""
    lower = {name.lower() for name in names}
    axes = {axis for axes in AXES_NAMES if axes <= lower for axis in axes}
    return {name for name in names if name.lower() in axes}


def _label_without_header(where: Path | str, table: Table, config: TaskConfig, notes: list[str]) -> str:
    first, last = table.names[0], table.names[-1]

    def like_classes(name: str) -> bool:
        cells = table.columns[name]
        codes, numbers = plain_codes(where, name, cells), numbers_of(where, name, cells, Schema.asked(config))
        few = 1 < int(codes.max()) + 1 <= len(codes) / 2
        return few and (numbers is None or bool((numbers == np.round(numbers)).all()))

    fitting = [name for name in (first, last) if like_classes(name)]
    if len(fitting) != 1:
        which = "either" if fitting else "neither"
        problem = f"there is no header, and {which} of {first} and {last} looks like the class"
        refuse(where, None, f"{problem}; name it with --label, --label {first} say")
    notes.append(f"the class is taken from {fitting[0]}; --label overrides")
    return fitting[0]


def _asked(where: Path | str, patterns: str, look: Look, others: Sequence[str], taken: set[str]) -> list[str]:
    """The columns that ``--sequence`` names; those of a pattern in their order, without identifiers and times."""
    sequence: list[str] = []
    for pattern in (part.strip() for part in patterns.split(",")):
        fitting = [pattern] if pattern in look else fnmatch.filter(others, pattern)
        if not fitting:
            refuse(where, None, f"no column '{pattern}' (--sequence); the columns are {some(list(look))}")
        numbered = family(fitting)
        if pattern not in look:
            members = set(chain.from_iterable(numbered))
            fitting = [name for name in fitting if name in members or not look[name].role] or fitting
            numbered = family(fitting)
        sequence += numbered[0] if numbered and len(numbered[0]) == len(fitting) else fitting
    for name in sequence:
        if name in taken:
            refuse(where, None, f"--sequence names the column '{name}', which is taken for something else already")
    return list(dict.fromkeys(sequence))


def _channels(table: Table, look: Look, series: str, others: Sequence[str], notes: list[str]) -> list[str]:
    """All columns but identifiers, times and what is constant in a series; in one order whatever the table's."""
    groups = plain_codes("", series, table.columns[series])
    possible = [name for name in others if not INDEX_NAMES.fullmatch(name)]
    fixed = set(_constant(groups, _codes_by_name(table, possible)))
    members = set(chain.from_iterable(family(possible)))
    channels = [n for n in possible if n not in fixed and (n in members or not look[n].role)] or possible
    if out := _in_order_of(possible, set(possible).difference(channels)):
        notes.append(f"{some(out)} {'is' if len(out) == 1 else 'are'} not read as channels; --sequence names them")
    numbered = list(chain.from_iterable(family(channels)))
    return numbered + sorted(set(channels).difference(numbered))


def _guessed(where: Path | str, look: Look, others: Sequence[str], notes: list[str]) -> list[str]:
    """The columns of the sequence that nobody named.

    The first of these that there is: a column that is called as sequences are and holds whole ones; one that is called
    so and holds words; any other that holds whole sequences; all columns that are steps.
    """
    others = [name for name in others if not INDEX_NAMES.fullmatch(name)]
    axes, families = axes_among(others), [members for members in family(others) if len(members) >= FEWEST_STEPS]
    usual = [name for known in SEQUENCE_NAMES for name in others if name.lower() == known and name not in axes]
    if whole := [name for name in usual if look[name].whole]:
        return _single(where, whole)
    numbered = set(chain.from_iterable(family(others)))
    texts = [name for name in usual if name not in numbered and not (look[name].numeric or look[name].named)]
    rivals = [f"{members[0]} .. {members[-1]}" for members in families]  # a name says little beside numbered columns
    if not texts:
        texts = [name for name in others if look[name].sequences and not look[name].role]
        numbers = [n for n in others if look[n].numeric and not (look[n].role or look[n].counts)]
        if texts and not rivals and len(numbers) > 1 and isinstance(look[texts[0]].first[0], str):
            rivals = [f"{numbers[0]} .. {numbers[-1]}"]
    if texts:
        return _single(where, texts + rivals)
    return others if len(others) == 1 else _steps(where, look, others, families, notes)


def _in_order_of(names: Sequence[str], some_of_them: Iterable[str]) -> list[str]:
    """Some of the names, in the order of all."""
    chosen = set(some_of_them)
    return [name for name in names if name in chosen]


def _single(where: Path | str, candidates: list[str]) -> list[str]:
    """The only candidate for the sequence."""
    if len(candidates) > 1:
        _refuse_both(where, candidates, "sequence", "sequence")
    return candidates


def _steps(where: Path | str, look: Look, others: list[str], families: list[list[str]], notes: list[str]) -> list[str]:
    """The columns that are steps: a numbered family, or all that are no identifiers, persons and times of recording."""
    possible = [name for name in others if not (look[name].role or look[name].counts)]
    steps = possible or [name for name in others if not look[name].numeric] or others
    if families:
        share = len(families[0]) / len({*possible, *families[0]})
        first = f"{families[0][0]}, {families[0][1]} .. {families[0][-1]}"
        if len(families) > 1 and len(families[0]) == len(families[1]) and share >= SMALL_SHARE:
            both = " and ".join(f"{members[0]}, {members[1]} .." for members in families[:2])
            cure = "name the steps with --sequence, or write channels as lists"
            refuse(where, None, f"{both} are columns of two kinds; {cure}")
        if share >= LARGE_SHARE:
            steps = families[0]
        elif share >= SMALL_SHARE:
            problem = f"the steps can be {first}, or all {len(possible)} columns"
            refuse(where, None, f"{problem}; name them with --sequence, --sequence '*' for all")
    if steps and set(steps) == axes_among(steps):
        cure = "name the recording of each row with --series, or the steps with --sequence"
        refuse(where, None, f"{', '.join(steps)} are channels of one time step; {cure}")
    if out := _in_order_of(others, set(others).difference(steps)):
        what = "is not read as a step" if len(out) == 1 else "are not read as steps"
        notes.append(f"{some(out)} {what}; --sequence names the steps")
    if steps != _in_order_of(others, steps):
        notes.append(f"the steps are put in the order of their numbers, {steps[0]} to {steps[-1]}")
    return steps


# A row for each time step.


def _constant(groups: NDArray[np.int64], codes: Codes) -> list[str]:
    """Columns with one value in all rows of a group, and fewer values than there are groups."""
    constant: list[str] = []
    for name, own in codes.items():
        value, known = np.zeros(int(groups.max(initial=-1)) + 1, dtype=np.int64), own >= 0
        value[groups[known]] = own[known]
        if 1 < int(own.max(initial=-1)) + 1 < len(value) and (value[groups] == own)[known].all():
            constant.append(name)
    return constant


def _codes_by_name(table: Table, names: Sequence[str]) -> Codes:
    """``codes_of`` the columns that hold plain cells."""
    return {name: codes for name in names if (codes := codes_of(table.columns[name])) is not None}


def _refuse_long(where: Path | str, table: Table, look: Look, config: TaskConfig, split: str | None) -> None:
    """Refuse a table with a row for each time step, and say how to read it.

    In such a table every value of one column, or of two, stands in several rows of a single class, while another column
    counts or rises within these rows.
    """
    names = [name for name in table.names if name != split and not INDEX_NAMES.fullmatch(name)]
    families = family(names)
    numbered = set(families[0]) if families and len(families[0]) >= FEWEST_STEPS else set()
    codes = _codes_by_name(table, [name for name in names if name not in numbered][:MOST_ROLES])
    labels = {name: codes[name] for name in ([config.label] if config.label else codes) if name in codes}
    called_label = {name for name in (config.label, *LABEL_NAMES) if name}
    who = {name for name in codes if look[name].role == "who"}
    keys_of = cache(lambda name: _keys_of(table.columns[name], Schema.asked(config)))

    def is_time(name: str, groups: NDArray[np.int64]) -> bool:
        keys = None if name in who else keys_of(name)
        if keys is None or _counts_within(keys, groups):
            return keys is not None
        pairs = np.unique(np.stack([groups.astype(np.float64), keys]), axis=1).shape[1]
        return look[name].role == "when" and pairs == len(keys)  # in any order

    for series, groups in _series_candidates(codes, who | called_label):
        if numbered and len(series) > 1:
            continue  # numbered columns are rather steps
        constant = [name for name in _constant(groups, labels) if name not in series]
        constant += [name for name in series[1:] if name in called_label]
        if not constant:
            continue
        time = next((name for name in codes if name not in (*series, *constant) and is_time(name, groups)), None)
        is_named = len(series) == 1 and (series[0] in who or not look[series[0]].numeric)
        is_block = is_named and np.count_nonzero(np.diff(groups)) == groups.max()
        if time is None and (numbered or not is_block):
            continue
        if not set(names).difference(series, constant, (time,)):
            continue
        known = [name for name in constant if name.lower() in LABEL_NAMES]
        known = known or [name for name in constant if name not in who] or constant
        label = known[0] if len(known) == 1 else f"(one of {some(known)})"
        name = series[0] if len(series) == 1 else f"(a new column, {' + '.join(series)})"
        read = f"read it with --series {name}{f' --time {time}' if time else ''} --label {label}"
        problem = "it looks like a table with a row for each time step"
        pattern = f" '{families[0][0].rstrip('0123456789')}*'" if numbered else ""
        refuse(where, None, f"{problem}; {read}, or name the steps with --sequence{pattern} if a row is a sequence")


def _series_candidates(codes: Codes, paired: set[str]) -> Iterator[tuple[tuple[str, ...], NDArray[np.int64]]]:
    """Columns whose values stand in several rows, and pairs of such: persons with recordings or with labels."""
    single = {
        name: np.where(groups < 0, groups.max(initial=-1) + 1 + np.cumsum(groups < 0), groups)  # empty: each by itself
        for name, groups in codes.items()
        if 2 <= int(groups.max(initial=-1)) + 1 <= len(groups) / LONG_RECURRENCE
    }
    yield from (((name,), groups) for name, groups in single.items())
    for one, two in combinations([name for name in single if name in paired], 2):
        both = single[one] * (single[two].max() + 1) + single[two]
        groups = np.unique(both, return_inverse=True)[1]
        if groups.max() + 1 <= len(groups) / LONG_RECURRENCE:
            yield (one, two), groups


def _counts_within(key: NDArray[np.float64], groups: NDArray[np.int64]) -> bool:
    """Whether times rise or fall within each group in the order of the table, or count in every group alike."""
    order = np.argsort(groups, kind="stable")
    within = np.diff(groups[order]) == 0
    steps = np.diff(key[order])[within]
    for sign in (1, -1):
        if (sign * steps >= 0).all() and (sign * steps > 0).mean() >= RISING_SHARE:
            return True
    order = np.lexsort((key, groups))
    return bool((np.diff(key[order])[np.diff(groups[order]) == 0] == 1).all()) and 2 * len(np.unique(key)) <= len(key)


def _keys_of(cells: Any, schema: Schema) -> NDArray[np.float64] | None:
    """What a column says of time; None where it does not."""
    try:
        numbers = numbers_of("", "", cells, schema)
        if numbers is None:
            numbers = sort_keys("", "", listed(cells), replace(schema, dates=schema.dates or "dmy"))
    except RequestError:
        return None
    return None if np.isnan(numbers).any() else numbers.astype(np.float64)
