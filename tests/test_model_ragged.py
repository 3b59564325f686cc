"""Rows grouped by length: the least cost by trying all groupings, and results equal to those of one padded batch."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import CHANNELS, LENGTH, TINY_MODEL, tiny_model
from selfpretrain.model import ragged
from selfpretrain.model.ragged import back_in_order, length_groups
from selfpretrain.streams import numpy_stream
from selfpretrain.tasks.builtin import ListOps

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


@pytest.mark.fast
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=9))
def test_no_other_grouping_costs_less(lengths):
    found = [group.tolist() for group in length_groups(np.array(lengths))]
    assert sorted(row for group in found for row in group) == list(range(len(lengths)))
    by_length = sorted(range(len(lengths)), key=lambda i: lengths[i])
    assert cost(found, lengths) == min(cost(groups, lengths) for groups in groupings(by_length))


@pytest.mark.fast
@given(st.lists(st.integers(0, 4), min_size=1, max_size=7), st.randoms(use_true_random=False))
def test_entries_come_back_in_the_order_of_their_rows(counts, chance):
    rows = list(range(len(counts)))
    chance.shuffle(rows)
    cut = chance.randint(0, len(rows))
    groups = [torch.tensor(part, dtype=torch.long) for part in (rows[:cut], rows[cut:])]
    entries = [[(row, k) for row in part.tolist() for k in range(counts[row])] for part in groups]
    parts = [torch.tensor(each, dtype=torch.float).reshape(-1, 2) for each in entries]
    found = back_in_order(parts, groups, torch.tensor(counts))
    assert found.tolist() == [[row, k] for row in range(len(counts)) for k in range(counts[row])]


@pytest.mark.parametrize("kind", ["symbols", "values"])
@pytest.mark.parametrize("pooling", ["mean", "max", "cls", "last"])
@pytest.mark.parametrize("settings", [{}, {"positions": "alibi"}, {"positions": "rotary"}, {"dropout": 0.3}])
def test_results_and_gradients_equal_those_of_one_padded_batch(kind, pooling, settings, monkeypatch):
    monkeypatch.setattr(ragged, "GROUP_POSITIONS", 0)
    model = tiny_model(replace(TINY_MODEL, depth=2, pooling=pooling, **settings), kind).double()
    model.train()
    chance = torch.Generator().manual_seed(0)
    keep = torch.arange(LENGTH) < LENGTHS[:, None]
    x = torch.randint(5, keep.shape, generator=chance)
    if kind == "values":
        x = torch.randn(*keep.shape, CHANNELS + 1, generator=chance, dtype=torch.float64)
    chosen = keep & (torch.rand(keep.shape, generator=chance) < 0.5)
    keys = torch.arange(len(x)) * 7
    for asked in ((None, False), (chosen, False), (chosen, True)):
        found = []
        for by_length in (False, True):
            model.by_length = by_length
            model.zero_grad()
            out = model(x, keep, asked[0], keys, asked[1])
            outs = out if isinstance(out, tuple) else (out,)
            sum((each * torch.arange(each.numel()).view(each.shape)).sum() for each in outs).backward()
            found.append([*outs, *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
        assert len(found[0]) == len(found[1])
        for one, two in zip(*found, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9)


def test_the_waste_on_listops_is_at_most_five_per_cent():
    """Batches of 32 sequences of the Long Range Arena, as its training draws them."""
    lengths = np.array([len(row) for row in ListOps(sequences=960).build(numpy_stream(0, "data")).x])
    padded = real = 0
    for batch in lengths.reshape(-1, 32):
        padded += sum(len(group) * batch[group].max() for group in length_groups(batch))
        real += batch.sum()
    assert padded / real < 1.05
