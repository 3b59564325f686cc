"""Which columns hold what: long tables in any order, the order of steps, and names that say less than the cells."""

import numpy as np
import pandas as pd
import pytest

from selfpretrain.config import TaskConfig
from selfpretrain.data.columns import family
from selfpretrain.data.recognise import recognised
from selfpretrain.data.table import Table
from selfpretrain.errors import RequestError

RNG = np.random.default_rng(0)
N = 60
LABELS = [("a", "b")[n % 2] for n in range(N)]
NUMBERS = RNG.normal(size=N).round(3).tolist()
DNA = ["".join(RNG.choice(list("ACGT"), size=20)) for _ in range(N)]


def reading(columns, notes=None, **options):
    table = Table(columns={name: list(cells) for name, cells in columns.items()})
    return recognised("f", table, TaskConfig(data="f", **options), [] if notes is None else notes)


def long_table(time, order=None, names=("rec", "t", "pulse", "flow", "label"), recordings=20, steps=8):
    rows = [
        (r, time(r, k), *RNG.normal(size=len(names) - 3), LABELS[r]) for r in range(recordings) for k in range(steps)
    ]
    rows = rows if order is None else [rows[place] for place in order]
    return dict(zip(names, zip(*rows, strict=True), strict=True))


@pytest.mark.parametrize(
    "table",
    [
        long_table(lambda r, k: k),
        long_table(lambda r, k: -k),
        long_table(lambda r, k: k, RNG.permutation(160)),
        long_table(lambda r, k: k * 3 // 4),  # faster than its clock
        long_table(lambda r, k: 100 * r + k),
        long_table(lambda r, k: str(pd.Timestamp("2024-01-01") + pd.Timedelta(minutes=100 * r + k))),
        long_table(lambda r, k: f"2024-01-01T{r:02d}:{k:02d}:00Z"),
        long_table(lambda r, k: f"{9 + k}:05"),
        long_table(lambda r, k: 8 * r + k, names=("rec", "t", *(f"ch{c}" for c in range(9)), "label")),
    ],
)
def test_a_row_a_time_step_is_recognised_in_any_order_and_by_any_clock(table):
    with pytest.raises(RequestError, match="read it with --series rec --time t --label label, or name the steps"):
        reading(table)


def test_a_row_a_time_step_is_recognised_without_time_and_with_two_columns_for_a_recording():
    table = long_table(lambda r, k: k)
    del table["t"]
    with pytest.raises(RequestError, match="read it with --series rec --label label, or"):
        reading(table)
    pairs = long_table(lambda r, k: k)
    pairs["subject"], pairs["trial"] = [r // 5 for r in pairs["rec"]], [r % 5 for r in pairs["rec"]]
    del pairs["rec"]
    with pytest.raises(RequestError, match=r"--series \(a new column, subject \+ trial\) --time t"):
        reading(pairs)
    walks = {"user": np.repeat(range(6), 20).tolist(), "label": (["walk"] * 10 + ["jog"] * 10) * 6}
    walks |= {"timestamp": list(range(120)), "pulse": RNG.normal(size=120).tolist(), "flow": RNG.normal(size=120)}
    with pytest.raises(RequestError, match=r"--series \(a new column, user \+ label\) --time timestamp"):
        reading(walks)
    with pytest.raises(RequestError, match="x, y, z are channels of one time step; name the recording of each row"):
        reading({"x": NUMBERS, "y": NUMBERS[::-1], "z": NUMBERS, "label": LABELS})


def test_a_table_of_persons_with_numbered_steps_is_no_long_one():
    steps = {f"t{t}": RNG.normal(size=N) for t in range(4)}
    subject = [n // 6 for n in range(N)]
    table = {"subject": subject, "age": [30 + s for s in subject], **steps, "label": [LABELS[s] for s in subject]}
    assert reading(table).sequence == ("t0", "t1", "t2", "t3")


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["t10", "t9", "t1"], ["t1", "t9", "t10"]),
        (["2", "-1", "0", "1"], ["-1", "0", "1", "2"]),
        (["0.1", "0.02", "0.01", "0.2"], ["0.01", "0.02", "0.1", "0.2"]),
        (["400.1", "400.0", "399.9"], ["399.9", "400.0", "400.1"]),
        (["v(t-2)", "v(t-1)", "v(t)"], ["v(t-2)", "v(t-1)", "v(t)"]),
        (["t-3", "t-2", "t-1"], ["t-3", "t-2", "t-1"]),
        (["t+1", "t-1", "t+0"], ["t-1", "t+0", "t+1"]),
        (["2024-02-01", "2024-01-30", "2024-01-31"], ["2024-01-30", "2024-01-31", "2024-02-01"]),
        (["2021-01", "2020-11", "2020-12"], ["2020-11", "2020-12", "2021-01"]),
        (["10:00", "9:45", "9:30"], ["9:30", "9:45", "10:00"]),
        (["x", "x.1", "x.2"], ["x", "x.1", "x.2"]),
        (["x[2]", "x[0]", "x[1]"], ["x[0]", "x[1]", "x[2]"]),
    ],
)
def test_numbered_steps_are_in_the_order_of_what_their_names_say(names, order):
    assert family([*names, "weather"]) == [order]
    notes = []
    found = reading({**{name: NUMBERS for name in names}, "weather": LABELS, "label": LABELS}, notes)
    assert (list(found.sequence), found.form, found.reordered) == (order, "steps", names != order)
    assert any("are put in the order of their numbers" in note for note in notes) == (names != order)


@pytest.mark.parametrize(
    ("columns", "sequence"),
    [
        ({"seq": [f"s{n:03d}" for n in range(N)], "t0": NUMBERS, "t1": NUMBERS, "t2": NUMBERS}, ("t0", "t1", "t2")),
        ({"x": [f"s{n:03d}" for n in range(N)], "dna": DNA}, ("dna",)),
        ({"name": [f"gene {n}" for n in range(N)], "dna": DNA}, ("dna",)),
        ({"id": range(N), "dna": DNA}, ("dna",)),
        ({"sequence": DNA, "weather": NUMBERS}, ("sequence",)),
        ({"sequence": ["1 2 3"] * N, "t0": NUMBERS, "t1": NUMBERS, "t2": NUMBERS}, ("sequence",)),
        ({"x": [f"{n:05b}" for n in range(N)]}, ("x",)),  # digits of a text
    ],
)
def test_cells_say_more_than_a_name(columns, sequence):
    assert reading({**columns, "label": LABELS}).sequence == sequence


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": DNA, "t0": NUMBERS, "t1": NUMBERS, "t2": NUMBERS}, "text and t0 .. t2 could both be the sequence"),
        ({"dna": DNA, "rna": DNA}, "dna and rna could both be the sequence"),
        ({"x": [["1", "2"]] * N, "y": [["1", "2"]] * N, "z": [["3"]] * N}, "x and y could both be the sequence"),
        ({f"t{t}": [f"{n + t}%" for n in range(N)] for t in range(3)}, "row 1: '0%' in column 't0' is no number"),
        ({"t0": NUMBERS, "t1": NUMBERS, "t2": DNA}, "column 't2' holds words and 't0' numbers"),
        ({"dna": [["A"]] * N, "time": [["A"]] * N}, "column 'time' holds a list"),
    ],
)
def test_columns_that_can_be_taken_two_ways_are_refused(columns, message):
    options = {"series": "time"} if "time" in columns else {}
    with pytest.raises(RequestError, match=message):
        reading({**columns, "label": LABELS}, **options)


def test_channels_have_one_order_whatever_the_tables():
    table = long_table(lambda r, k: k)
    told = {"series": "rec", "time": "t"}
    assert reading(table, **told).sequence == ("flow", "pulse")
    assert reading(dict(reversed(table.items())), **told).sequence == ("flow", "pulse")
    assert reading(table, sequence="pulse,flow", **told).sequence == ("pulse", "flow")
    assert reading(table, sequence="pulse,p*", **told).sequence == ("pulse",)  # no column twice


def test_the_order_of_day_and_month_is_that_of_training():
    table = long_table(lambda r, k: f"{k + 10}/3/2024")
    assert reading(table, series="rec", time="t").dates == "dmy"
    assert reading(long_table(lambda r, k: k), series="rec", time="t").dates is None


def floats(names):
    return {name: RNG.normal(size=N).round(3) for name in names.split()}


ELECTRODES = "Fp1 Fp2 F7 F3 Fz F4 F8 T3 C3 Cz C4 T4 T5 P3 Pz P4 T6 O1 O2"
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec"
ANSWERS = RNG.choice(["strongly agree", "agree", "no idea"], size=(6, N)).tolist()


@pytest.mark.parametrize(
    ("columns", "sequence"),
    [
        (floats(ELECTRODES), ELECTRODES.split()),  # the numbers of a few are no time
        (floats(MONTHS), MONTHS.split()),
        (floats("a b c d e"), list("abcde")),
        ({f"q{n}": answers for n, answers in enumerate(ANSWERS)}, [f"q{n}" for n in range(6)]),
        ({f"q{n}": RNG.integers(1, 6, size=N) for n in range(6)}, [f"q{n}" for n in range(6)]),
        ({f"{i}x{j}": NUMBERS for i in (1, 2) for j in (1, 2, 3)}, [f"{i}x{j}" for i in (1, 2) for j in (1, 2, 3)]),
        (floats("2021Q1 2020Q4 2020Q3 2021Q2"), ["2020Q3", "2020Q4", "2021Q1", "2021Q2"]),
        ({"body_mass_index": NUMBERS, "reaction_time": NUMBERS, "key": [n % 12 for n in range(N)]},
         ["body_mass_index", "reaction_time", "key"]),
        ({**floats("temp hum light"), "empty": [None] * N}, ["temp", "hum", "light"]),
        ({"household": [n // 5 for n in range(N)], **floats("h0 h1 h2 h3")}, ["h0", "h1", "h2", "h3"]),
        ({"id": range(N), "review": [f"text {n} and {n % 7} more" for n in range(N)]}, ["review"]),
    ],
)  # fmt: skip
def test_clean_tables_are_read(columns, sequence):
    assert list(reading({**columns, "label": LABELS}).sequence) == sequence


ROLES = """userId PatientID SampleID PassengerId pid uid customerid caseid StudentNo subj subject_no participant_number
    ID. mrn rec record sample ts datetime_utc EventTime recordedAt created_at date"""


@pytest.mark.parametrize("name", ROLES.split())
def test_names_of_rows_persons_and_times_are_no_steps(name):
    column = RNG.permutation(1000)[:N] + 10
    assert reading({name: column, **floats("temp hum light"), "label": LABELS}).sequence == ("temp", "hum", "light")


@pytest.mark.parametrize(
    "change",
    [
        {"label": lambda cells: [f"stairs {cell}" for cell in cells]},
        {"rec": lambda cells: [f"John Smith {'abcdefghijklmnopqrstuvwxyz'[cell]}" for cell in cells]},
        {"t": lambda cells: [f"{cell + 1} Mar 2024" for cell in cells]},
        {"t": lambda cells: [f"2024-03-02 10:00:0{cell} +00:00" for cell in cells]},
        {"label": lambda cells: [None if n == 7 else cell for n, cell in enumerate(cells)]},
        {"label": lambda cells: [cell if n % 8 == 0 else None for n, cell in enumerate(cells)]},
        {"rec": lambda cells: [None if n == 7 else cell for n, cell in enumerate(cells)]},
    ],
)
def test_words_and_empty_cells_do_not_hide_a_row_a_time_step(change):
    table = long_table(lambda r, k: k)
    table |= {name: change[name](table[name]) for name in change}
    with pytest.raises(RequestError, match="--series rec --time t --label label"):
        reading(table)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (floats("pm1 pm2 pm10 a b c d"), r"the steps can be pm1, pm2 .. pm10, or all 7 columns"),
        ({**floats("temp hum"), "station": ["Lake A", "Hill B", "Lake C"] * 20}, "'station' holds words and 'temp'"),
        ({**floats("temp hum"), "version": [f"v{n} build {n}" for n in range(N)]}, "version and temp .. hum could"),
        ({"protein": DNA, "length": [20] * N}, "--sequence protein if it is that one"),
        ({f"t{t}": [f"1,{100 + n}.5" for n in range(N)] for t in range(3)}, "'1,100.5' in column 't0' is no number"),
    ],
)  # fmt: skip
def test_tables_with_two_readings_name_both(columns, message):
    with pytest.raises(RequestError, match=message):
        reading({**columns, "label": LABELS})
    assert reading({**floats("pm1 pm2 pm10 temp"), "id": range(N), "label": LABELS}, sequence="*").sequence == (
        "pm1", "pm2", "pm10", "temp",
    )  # fmt: skip


def test_columns_of_a_melted_table_are_no_channels():
    table = long_table(lambda r, k: k)
    table["sensor"] = ["x", "y"] * 80
    with pytest.raises(
        RequestError, match="'sensor' holds words and 'flow' numbers; name the channels with --sequence"
    ):
        reading(table, series="rec", time="t")


def test_a_logger_whose_clock_runs_on_is_recognised_in_any_order_and_its_time_is_no_channel():
    table = long_table(
        lambda r, k: f"09:{r:02d}:{10 + k}", names=("recording", "time", "acc_x", "acc_y", "acc_z", "label")
    )
    for order in (range(160), RNG.permutation(160)):
        mixed = {name: [cells[place] for place in order] for name, cells in table.items()}
        with pytest.raises(RequestError, match="--series recording --time time --label label"):
            reading(mixed)
    integers = {**table, "time": range(160), "subject": [r // 5 for r in table["recording"]]}
    notes = []
    assert reading(integers, notes, series="recording").sequence == ("acc_x", "acc_y", "acc_z")
    assert "time, subject are not read as channels; --sequence names them" in notes


def test_persons_with_numbered_steps_are_read_and_a_rival_reading_can_be_typed():
    steps = {f"t{t}": RNG.normal(size=N) for t in range(8)}
    wide = {"id": range(N), "recorded_at": range(100, 100 + N), "patient": [n // 6 for n in range(N)], **steps}
    assert reading({**wide, "label": LABELS}).sequence == tuple(steps)
    with pytest.raises(RequestError, match=r"or name the steps with --sequence 't\*' if a row is a sequence"):
        reading({**wide, "label": [LABELS[n // 6] for n in range(N)]})


def test_a_text_beside_words_is_not_a_step():
    table = {"chrom": [f"chr{n % 5}" for n in range(N)], "dna": DNA, "label": LABELS}
    with pytest.raises(RequestError, match="give --sequence dna if it is the sequence, or --sequence a,b"):
        reading(table)
    assert reading({"e": [["a", "b"], "a b"] * 30, "label": LABELS}).sequence == ("e",)


def test_a_mistyped_column_gets_the_one_that_was_meant():
    with pytest.raises(
        RequestError, match=r"no column 'lable' \(--label\); did you mean label\? The columns are label, t0"
    ):
        reading({"t0": NUMBERS, "t1": NUMBERS, "t2": NUMBERS, "label": LABELS}, label="lable")


def test_numbered_names_are_steps_whatever_word_they_begin_with():
    counts = {f"time_{t}": RNG.permutation(1000)[:N] if t else [n % 3 for n in range(N)] for t in range(4)}
    for told in ({}, {"sequence": "time_*"}):
        assert reading({"id": range(N), **counts, "label": LABELS}, **told).sequence == tuple(counts)
