"""Rows grouped by length: the least cost by trying all groupings, and the results of one row at a time."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import CHANNELS, LENGTH, TINY_MODEL, spec, tiny_model
from selfpretrain.arena.listops import ListOps
from selfpretrain.model import ragged
from selfpretrain.model.ragged import ByLength, length_groups
from selfpretrain.model.transformer import fresh_model
from selfpretrain.streams import numpy_stream

LENGTHS = torch.tensor([LENGTH, 2, 3, LENGTH, 2, 5])


def cost(groups, lengths):
    return sum(len(g) * max(lengths[i] for i in g) + ragged.GROUP_POSITIONS for g in groups)


def groupings(rows):
    """All ways to cut a row of rows."""
    for cuts in product([False, True], repeat=len(rows) - 1):
        groups = [[rows[0]]]
        for row, cut in zip(rows[1:], cuts, strict=True):
            groups.append([row]) if cut else groups[-1].append(row)
        yield groups


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=9))
def test_no_other_grouping_costs_less(lengths):
    found = [group.tolist() for group in length_groups(np.array(lengths))]
    assert sorted(row for group in found for row in group) == list(range(len(lengths)))
    by_length = sorted(range(len(lengths)), key=lambda i: lengths[i])
    assert cost(found, lengths) == min(cost(groups, lengths) for groups in groupings(by_length))


class Watched:
    """A model whose calls are counted, by the lengths of their rows."""

    def __init__(self, model):
        self.model, self.calls = model, []

    def __call__(self, x, keep, chosen, keys, *, labels=True):
        self.calls.append([x.shape[1]] * len(x) if keep is None else keep.sum(1).tolist())
        assert max(self.calls[-1]) == x.shape[1]  # trimmed to the longest
        return self.model(x, keep, chosen, keys, labels=labels)


def outputs_and_gradients(model, calls):
    """Logits, predictions, and the gradients of a loss that tells their entries apart; of several calls together."""
    model.zero_grad()
    logits, predictions = (torch.cat(parts) for parts in zip(*calls, strict=True))
    sum((each * torch.arange(each.numel()).view(each.shape)).sum() for each in (logits, predictions)).backward()
    return [logits, predictions, *(p.grad.clone() for p in model.parameters())]


@pytest.mark.parametrize("kind", ["symbols", "values"])
@pytest.mark.parametrize("pooling", ["mean", "max", "cls", "last"])
@pytest.mark.parametrize("settings", [{}, {"positions": "alibi"}, {"positions": "rotary", "dropout": 0.3}])
@pytest.mark.parametrize("per_row", [1, 2])
def test_rows_of_similar_lengths_run_together_and_give_what_each_gives_alone(
    kind, pooling, settings, per_row, monkeypatch
):
    """Outputs and gradients, in training and in float64; the two sequences of a pair stay together."""
    monkeypatch.setattr(ragged, "GROUP_POSITIONS", 0)
    inputs = replace(spec(kind), per_row=per_row)
    model = fresh_model(replace(TINY_MODEL, pooling=pooling, **settings), inputs, 0).double().train()
    chance = torch.Generator().manual_seed(0)
    keep = torch.arange(LENGTH) < LENGTHS[:, None]
    x = torch.randint(5, keep.shape, generator=chance)
    if kind == "values":
        x = torch.randn(*keep.shape, CHANNELS + 1, generator=chance, dtype=torch.float64)
    chosen, keys = keep & (torch.rand(keep.shape, generator=chance) < 0.7), torch.arange(len(x)) * 7
    watched = Watched(model)
    found = outputs_and_gradients(model, [ByLength(watched, per_row)(x, keep, chosen, keys)])
    assert sorted(n for call in watched.calls for n in call) == sorted(LENGTHS.tolist())
    if per_row == 1:  # nothing is padded where a group costs nothing
        assert watched.calls == [[2, 2], [3], [5], [7, 7]]
    parts = [slice(start, start + per_row) for start in range(0, len(x), per_row)]
    alone = [model(x[p, :n], keep[p, :n], chosen[p, :n], keys[p]) for p in parts for n in [int(LENGTHS[p].max())]]
    for one, two in zip(found, outputs_and_gradients(model, alone), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9)
    logits = ByLength(model, per_row)(x, keep, None, keys)
    torch.testing.assert_close(logits.logits, found[0], rtol=1e-12, atol=1e-12)
    assert logits.predictions is None


def test_what_is_one_group_anyway_is_one_call_as_it_came():
    watched = Watched(tiny_model().eval())
    x, keep = torch.zeros(len(LENGTHS), LENGTH, dtype=torch.long), torch.arange(LENGTH) < LENGTHS[:, None]
    ByLength(watched)(x)
    ByLength(watched)(x, keep)  # one more group costs more than this padding
    assert watched.calls == [[LENGTH] * len(x), LENGTHS.tolist()]


def test_the_waste_on_listops_is_at_most_five_per_cent():
    """Batches of 32 sequences of the Long Range Arena, as its training draws them."""
    (sequences,) = ListOps(sequences=960).build(numpy_stream(0, "data")).columns
    lengths = sequences.lengths
    padded = real = 0
    for batch in lengths.reshape(-1, 32):
        padded += sum(len(group) * batch[group].max() for group in length_groups(batch))
        real += batch.sum()
    assert padded / real < 1.05
