"""Kinds of data: what the model sees of a masked sequence, what an error costs, what a classical model sees."""

import math

import numpy as np
import pytest
import torch

from conftest import ragged_task, spec
from selfpretrain.data.kinds import KINDS

MASK = torch.tensor([[True, False, True]])


def seen(task, features):
    return KINDS[task.kind].views[features.name](task.train)


def test_masked_symbols_show_the_masks_id():
    assert KINDS["symbols"].hide(torch.tensor([[1, 2, 3]]), MASK, spec()).tolist() == [[6, 2, 6]]
    assert KINDS["bytes"].hide(torch.tensor([[1, 2, 3]]), None, spec()).tolist() == [[1, 2, 3]]


def test_masked_values_show_the_mean_and_a_flag():
    x = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]])
    assert KINDS["values"].hide(x, MASK, spec("values")).tolist() == [[[0, 0, 1], [3, 4, 0], [0, 0, 1]]]
    assert KINDS["values"].hide(x, None, spec("values"))[..., 2].tolist() == [[0, 0, 0]]


def test_losses_by_hand():
    logits, truth = torch.tensor([[0.0, math.log(3.0)], [1.0, 1.0]]), torch.tensor([0, 1])
    losses = KINDS["symbols"].entry_losses(logits, truth, "cross-entropy")
    assert losses.tolist() == pytest.approx([math.log(4), math.log(2)])
    errors = torch.tensor([[1.0, -2.0]])
    for name, expected in (("l1", [1.0, 2.0]), ("l2", [1.0, 4.0])):
        assert KINDS["values"].entry_losses(errors, torch.zeros(1, 2), name)[0].tolist() == expected


def test_the_best_constant_prediction_by_hand():
    """Five symbols and the unknown one: each counts once more than it is seen."""
    shares = KINDS["symbols"].constant(torch.tensor([0, 0, 3, 0]), spec(), "cross-entropy", None).exp()
    assert shares.tolist() == pytest.approx([0.4, 0.1, 0.1, 0.2, 0.1, 0.1])
    again = KINDS["symbols"].constant(torch.tensor([1, 1]), spec(), "cross-entropy", shares.log()).exp()
    assert again.tolist() == pytest.approx([(6 * p + 2 * (k == 1)) / 8 for k, p in enumerate(shares.tolist())])
    numbers = torch.tensor([[1.0, 0.0], [2.0, 0.0], [9.0, 3.0]])
    for loss, expected in (("l1", [2.0, 0.0]), ("l2", [4.0, 1.0])):
        assert KINDS["values"].constant(numbers, spec("values"), loss, None).tolist() == expected


def test_layers_have_the_stated_widths():
    assert KINDS["symbols"].embedding(spec(), 8).weight.shape == (7, 8)
    assert KINDS["values"].embedding(spec("values"), 8).weight.shape == (8, 3)
    assert (KINDS["symbols"].targets(spec()), KINDS["values"].targets(spec("values"))) == (6, 2)
    assert (KINDS["symbols"].embedding_flops(spec(), 8), KINDS["values"].embedding_flops(spec("values"), 8)) == (0, 48)


def test_summaries_of_values_by_loops():
    task = ragged_task("values")
    (features,) = KINDS["values"].features(task)
    table = np.array([_summary(x, n) for x, n in zip(task.train.x, task.train.lengths, strict=True)])
    table = (table - table.mean(0)) / np.where(table.std(0) > 0, table.std(0), 1)
    assert (features.name, features.trees) == ("summaries", True)
    np.testing.assert_allclose(features.transformer.fit_transform(seen(task, features)), table, atol=1e-6)


def _summary(x, n):
    columns = []
    for channel in x[:n].astype(np.float64).T:
        mean = sum(channel) / n
        lags = [sum((channel[t] - mean) * (channel[t - k] - mean) for t in range(k, n)) / n for k in range(1, 6)]
        steps = [abs(channel[t] - channel[t - 1]) for t in range(1, n)]
        spread = math.sqrt(sum((v - mean) ** 2 for v in channel) / n)
        columns.append([mean, spread, *np.percentile(channel, [0, 25, 50, 75, 100]), sum(steps) / (n - 1), *lags])
    return np.array(columns).T.ravel()


def test_n_grams_and_positions_of_symbols():
    task = ragged_task()
    features, ends = KINDS["symbols"].features(task)  # lengths differ, so there are no positions
    grams = features.transformer.fit_transform(seen(task, features))
    runs = {tuple(x[i : i + k]) for x, n in zip(task.train.x, task.train.lengths, strict=True)
            for k in range(1, 6) for i in range(n - k + 1)}  # fmt: skip
    assert grams.shape == (len(task.train), len(runs))
    assert (grams.getnnz(1) == [
        len({tuple(x[i : i + k]) for k in range(1, 6) for i in range(n - k + 1)})
        for x, n in zip(task.train.x, task.train.lengths, strict=True)
    ]).all()  # fmt: skip
    for row, x, n in zip(seen(task, ends), task.train.x, task.train.lengths, strict=True):
        own = x[:n].tolist()
        first, last = (own + [-1] * 3)[:3], (own[::-1] + [-1] * 3)[:3]
        assert row.tolist() == first + last
