"""Rows that are pairs: read, split, coded, batched, classified by two towers, compared, saved and used."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import tiny_config
from selfpretrain import compare, diagnose, load_model
from selfpretrain.arms.classical import fit_classical
from selfpretrain.config import ModelConfig, TrainConfig
from selfpretrain.data.feed import Feed, make_batch
from selfpretrain.data.kinds import InputSpec
from selfpretrain.data.load import load_task
from selfpretrain.data.task import shuffled
from selfpretrain.draws import below
from selfpretrain.errors import RequestError
from selfpretrain.metrics import Metrics
from selfpretrain.model.ragged import ByLength
from selfpretrain.model.transformer import SequenceModel
from selfpretrain.report.write import write_report
from selfpretrain.streams import torch_stream
from selfpretrain.train import flops
from selfpretrain.train.objectives import cut_and_mixed, make_objective

WORDS = ("red", "green", "blue", "grey")
CPU = torch.device("cpu")


def pairs(kind="symbols", n=60, seed=0):
    """Rows of two ragged sequences, and whether their first entries are equal."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        a, b = (rng.integers(4, size=rng.integers(3, 9)).tolist() for _ in range(2))
        b[0] = a[0] if i % 2 else (a[0] + 1) % 4
        if kind == "symbols":
            a, b = ([WORDS[k] for k in row] for row in (a, b))
        elif kind == "bytes":
            a, b = ("".join("abcd"[k] for k in row) for row in (a, b))
        else:
            a, b = ([[float(k), 2.5 * k] for k in row] for row in (a, b))
        rows.append({"first": a, "other": b, "label": ("apart", "same")[i % 2]})
    return rows


def written(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def pair_task(tmp_path, kind="symbols", **options):
    return load_task(written(tmp_path / "p.jsonl", pairs(kind)), sequence="first", pair="other", kind=kind, **options)


@pytest.mark.parametrize("kind", ["symbols", "bytes", "values"])
def test_the_sequences_of_a_row_stand_one_after_the_other(tmp_path, kind):
    task, rows = pair_task(tmp_path, kind), pairs(kind)
    assert task.inputs.per_row == task.train.per_row == 2
    for split in (task.train, task.val, task.test):
        assert len(split.x) == len(split.lengths) == 2 * len(split)
        for place, number in enumerate(split.numbers):
            row = rows[number]
            assert split.lengths[2 * place : 2 * place + 2].tolist() == [len(row["first"]), len(row["other"])]
            assert task.classes[split.y[place]] == row["label"]
            x, lengths = task.codec.encode([(row["first"], row["other"])])
            assert (x == split.x[2 * place : 2 * place + 2]).all()
            assert lengths.tolist() == split.lengths[2 * place : 2 * place + 2].tolist()


@pytest.mark.parametrize("kind", ["symbols", "bytes", "values"])
def test_pairs_in_memory_are_those_of_the_file(tmp_path, kind):
    rows = pairs(kind)
    read = pair_task(tmp_path, kind)
    task = load_task([(row["first"], row["other"]) for row in rows], [row["label"] for row in rows], kind=kind)
    assert "in memory: 60 rows, pairs as" in task.notes[0]
    assert (task.train.x == read.train.x).all() and (task.test.y == read.test.y).all()
    assert task.codec == read.codec


@pytest.mark.parametrize("wrong", [[["a"], ["b"]], ("a", "b", "c"), "ab", ("a",)])
def test_a_row_in_memory_that_is_no_pair_among_pairs_is_refused(wrong):
    rows = [(f"a{i}", f"b{i}") for i in range(20)]
    rows[7] = wrong
    with pytest.raises(RequestError, match="row 8: is not a pair"):
        load_task(rows, [str(i % 2) for i in range(20)])


def test_a_csv_of_pairs_is_read_and_noted(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("text,text2,label\n" + "".join(f"a{i},b{i % 7},{i % 2}\n" for i in range(40)))
    task = load_task(path, pair="text2")
    assert "40 rows, pairs from column text and text2 as bytes" in task.notes[0]
    assert len(task.train) == 28


def test_equal_pairs_stay_on_one_side_also_the_other_way_round(tmp_path):
    rows = pairs(n=40)
    rows += [dict(rows[0]) for _ in range(10)]
    rows += [{**rows[0], "first": rows[0]["other"], "other": rows[0]["first"]} for _ in range(10)]
    task = load_task(written(tmp_path / "p.jsonl", rows), sequence="first", pair="other")
    where = [{0, *range(40, 60)} & set(split.numbers.tolist()) for split in (task.train, task.val, task.test)]
    assert sorted(map(len, where)) == [0, 0, 21]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pair": "else"}, "no column 'else' \\(--pair\\)"),
        ({"pair": "other", "series": "first"}, "pair other does not go with --series"),
        ({"pair": "other", "sequence": "first,label2"}, "name it with --sequence"),
        ({"pair": "label"}, "--pair names the column 'label', which is taken"),
        ({"pair": "first"}, "--sequence names the column 'first', which is taken"),
    ],
)
def test_wrong_columns_are_refused(tmp_path, change, message):
    path = written(tmp_path / "p.jsonl", [{**row, "label2": ["x"]} for row in pairs()])
    with pytest.raises(RequestError, match=message):
        load_task(path, **{"sequence": "first", "kind": "symbols", **change})


def test_damaged_pairs_are_refused_with_the_row_of_the_file(tmp_path):
    rows = pairs()
    for empty in ([], None):
        rows[6]["other"] = empty
        with pytest.raises(RequestError, match=r"row 7: the sequence is empty"):
            load_task(written(tmp_path / "p.jsonl", rows), sequence="first", pair="other", kind="symbols")
    rows = pairs("values")
    for row in rows:
        row["other"] = [[1.0] for _ in row["other"]]
    with pytest.raises(RequestError, match="1 channels where the first sequence of the pair had 2"):
        load_task(written(tmp_path / "p.jsonl", rows), sequence="first", pair="other", kind="values")
    with pytest.raises(RequestError, match="does not apply to the task 'noise'"):
        load_task("noise", pair="other")


def test_both_sequences_of_a_row_are_masked_by_draws_of_their_own(tmp_path):
    task = pair_task(tmp_path)
    batch = Feed(task, "pretrain", seed=1, batch_size=8, device=CPU).batch(0)
    assert batch.x.shape[0] == 16
    assert len(batch.y) == 8
    keys = batch.draws.keys("masks").tolist()
    assert len(set(keys)) == 16
    again = make_batch(task.train.rows(np.array([3])), CPU, seed=1, step=0).draws.keys("masks")
    number = task.train.numbers[3]
    whole = make_batch(task.train, CPU, seed=1, step=0)
    place = task.train.numbers.tolist().index(number)
    assert again.tolist() == whole.draws.keys("masks")[2 * place : 2 * place + 2].tolist()


@pytest.mark.parametrize("label_head", ["linear", "mlp"])
@pytest.mark.parametrize("by_length", [False, True])
def test_the_head_sees_both_vectors_their_difference_and_their_product(label_head, by_length):
    config = ModelConfig(width=8, heads=2, label_head=label_head)
    inputs = InputSpec(kind="symbols", symbols=5, channels=0, length=7, classes=3, per_row=2)
    model = SequenceModel(config, inputs, generator=torch_stream(0, "init")).double().eval()
    rng = np.random.default_rng(0)
    lengths = torch.tensor([2, 7, 5, 3, 7, 7])
    x = torch.from_numpy(rng.integers(5, size=(6, 7)))
    keep = torch.arange(7) < lengths[:, None]
    logits = (ByLength(model, 2) if by_length else model)(x, keep, None, None).logits
    for row in range(3):
        a, b = (model.encode(x[k : k + 1, : lengths[k]], None)[0].mean(0).tolist() for k in (2 * row, 2 * row + 1))
        both = list(zip(a, b, strict=True))
        seen = torch.tensor([*a, *b, *(p - q for p, q in both), *(p * q for p, q in both)], dtype=torch.float64)
        assert logits[row].tolist() == pytest.approx(model.label_head(seen).tolist(), rel=1e-6)


def test_a_label_step_of_pairs_counts_both_towers(tmp_path):
    task = pair_task(tmp_path)
    config, lengths = ModelConfig(width=8, heads=2, label_head="mlp"), np.array([5, 5])
    one = flops.label_step(config, replace(task.inputs, per_row=1), lengths, 4)
    two = flops.label_step(config, task.inputs, lengths, 4)
    head = 3 * 4 * 2 * (8 * 8 + 8 * 2)
    assert two == 2 * (one - head) + 3 * 4 * 2 * (4 * 8 * 8 + 8 * 2)
    labels, joint = (
        make_objective(name, settings, task.inputs).step_flops(config, task, 16)
        for name, settings in (("labels", {}), ("joint-corrupted", {"loss_name": "cross-entropy"}))
    )
    head = 3 * 16 * 2 * 2 * task.train.lengths.mean() * 8 * 5  # four symbols and the unknown one, for both sequences
    assert joint - labels == pytest.approx(head, abs=1)


def batch_with_partners(task):
    """A batch, and of each of its sequences the same one (first or second) of the row's partner."""
    batch = Feed(task, "label", seed=2, batch_size=len(task.train), device=CPU, partners=True).batch(5)
    return batch, [batch.partner.x[k, : batch.partner.lengths[k]].tolist() for k in range(len(batch.x))]


def test_mixed_pairs_take_their_stretch_from_the_same_place_of_the_partner(tmp_path):
    task = pair_task(tmp_path)
    batch, others = batch_with_partners(task)
    mixed, labels = cut_and_mixed(batch, 2)
    assert labels.sum(1).tolist() == pytest.approx([1.0] * len(task.train))
    keys, lengths = batch.draws.keys("cutmix"), batch.lengths
    both = torch.minimum(lengths, batch.partner.lengths)
    count = below(keys, both + 1)
    start = below(keys, both - count + 1, word=1)
    for k, other in enumerate(others):
        row = batch.x[k].tolist()
        row[start[k] : start[k] + count[k]] = other[start[k] : start[k] + count[k]]
        assert mixed.x[k].tolist() == row
    for row in range(len(batch.y)):
        share = float((count[2 * row] / lengths[2 * row] + count[2 * row + 1] / lengths[2 * row + 1]) / 2)
        expected = [0.0, 0.0]
        expected[batch.y[row]] += 1 - share
        expected[batch.partner.y[row]] += share
        assert labels[row].tolist() == pytest.approx(expected, abs=1e-6)
    assert int(count.sum()) > 0


def test_a_random_target_is_the_same_sequence_of_the_partner(tmp_path):
    task = pair_task(tmp_path)
    batch, others = batch_with_partners(task)
    objective = make_objective("masked", {"loss_name": "cross-entropy", "control": "random"}, task.inputs)
    _, truth = objective._controlled(batch)
    for k, other in enumerate(others):
        assert truth[k].tolist() == [other[t % len(other)] for t in range(batch.x.shape[1])]


def test_rows_fractions_controls_and_a_test_file_keep_their_pairs(tmp_path):
    rows = pairs(n=80)
    by_pair = {(tuple(row["first"]), tuple(row["other"])): row["label"] for row in rows}
    train, test = written(tmp_path / "a.jsonl", rows[:60]), written(tmp_path / "b.jsonl", rows[60:])
    hidden = [{**row, "label": None} if i % 3 == 0 else row for i, row in enumerate(rows)]
    options = {"sequence": "first", "pair": "other", "kind": "symbols"}
    for task in (
        load_task(train, test=test, **options),
        load_task(train, fraction=0.5, **options),
        load_task(written(tmp_path / "c.jsonl", hidden), **options),
        shuffled(load_task(train, **options), 0),
        load_task(train, random_labels=True, **options),
    ):
        for split in (task.train, task.val, task.test, task.unlabelled):
            for row in range(0 if split is None else len(split)):
                ids = [split.x[k, : split.lengths[k]] for k in (2 * row, 2 * row + 1)]
                pair = tuple(tuple(task.codec.vocabulary[i] for i in sequence) for sequence in ids)
                if task.source is not None and not task.source.random_labels and split.y[row] >= 0 and pair in by_pair:
                    assert task.classes[split.y[row]] == by_pair[pair]
                alike = [tuple(map(sorted, pair)) == tuple(map(sorted, known)) for known in by_pair]
                assert any(alike)


def test_sequences_that_stand_on_both_sides_are_counted_and_hidden_ones_left_out(tmp_path):
    rows = [{"sequence": f"question {i % 4}", "answer": f"answer {i}", "label": str(i % 2)} for i in range(80)]
    rows += [{"sequence": f"question {i % 4}", "answer": f"more {i}", "label": None} for i in range(10)]
    rows += [{"sequence": f"apart {i}", "answer": f"apart too {i}", "label": None} for i in range(3)]
    task = load_task(written(tmp_path / "p.jsonl", rows), pair="answer", kind="bytes")
    n = len(task.train)
    assert any(f"of {n} training pairs one sequence stands in a pair of validation or test" in s for s in task.notes)
    assert any("10 rows without a label are left out" in note for note in task.notes)
    assert len(task.unlabelled) == 3


def test_the_classical_model_sees_what_a_pair_shares(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for i in range(160):
        a = "".join(rng.choice(list("abcdefgh"), size=2)) * 4
        b = a if i % 2 else "".join(rng.choice(list("abcdefgh"), size=2)) * 4
        rows.append({"sequence": f"{a}", "sequence2": f"{b}{'x' * (i % 5)}", "label": str(i % 2)})
    task = load_task(written(tmp_path / "p.jsonl", rows), pair="sequence2", kind="bytes")
    probabilities = fit_classical(task).probabilities(task.test)
    assert probabilities.shape == (len(task.test), 2)
    assert Metrics.of_probabilities(probabilities, task.test.y).acc > 0.9


@pytest.mark.whole
@pytest.mark.parametrize("kind", ["symbols", "values"])
def test_pairs_are_compared_saved_loaded_and_predicted_from_the_raw_file(tmp_path, kind):
    task, rows = pair_task(tmp_path, kind), pairs(kind)
    arms = ("scratch", "spt", "scratch-long", "cutmix", "joint", "joint-corrupted", "classical")
    config = tiny_config(train=TrainConfig(lr=(1e-2,)), arms=arms, seeds=1)
    out = compare(task, config, out=tmp_path / "o")
    assert out.summary["task"]["per_row"] == 2
    assert f"{len(task.test)} test pairs" in write_report(out.folder).read_text()
    raw = [(rows[number]["first"], rows[number]["other"]) for number in task.test.numbers]
    truth = [rows[number]["label"] for number in task.test.numbers]
    for arm in ("scratch", "spt"):
        model = load_model(tmp_path / f"o/runs/{arm}-seed0/model")
        accuracy = np.mean([answer == label for answer, label in zip(model.predict(raw), truth, strict=True)])
        assert accuracy == out.summary["arms"][arm]["test_acc"][0]
        assert model.predict_proba(raw).shape == (len(raw), 2)
        assert model.predict([list(raw[0])]) == model.predict(raw[:1])
    for wrong in (raw[0], [raw[0][0]], ["red green"], [(*raw[0], raw[0][0])]):
        with pytest.raises(RequestError, match="is not a pair"):
            model.predict(wrong)
    with pytest.raises(RequestError, match="pairs of sequences, at which diagnose cannot look"):
        diagnose(tmp_path / "o", task=task)
