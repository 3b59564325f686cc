"""Masks entry by entry: what a kernel adds to the scores of each query and key."""

import math
from dataclasses import replace
from itertools import product

import pytest
import torch

from selfpretrain.model.mask import Mask, alibi_slopes, distance_bias

B, T, H = 3, 7, 2
LENGTHS = (7, 4, 1)
KEEP = torch.arange(T) < torch.tensor(LENGTHS)[:, None]
SLOPES = torch.tensor([0.5, 2.0], dtype=torch.float64)
LIKE = torch.zeros(1, dtype=torch.float64)
DISTANCES = ("none", "slopes", "table", "longer table")
BLOCKS = (1, 2, 3, 6, 7, 9)
EVERY = pytest.mark.parametrize(
    ("padded", "causal", "distance"), list(product([False, True], [False, True], DISTANCES))
)


def mask_of(padded, causal, distance):
    slopes = None if distance == "none" else SLOPES
    size = {"table": T, "longer table": T + 4}.get(distance, 0)
    table = distance_bias(torch.arange(size), torch.arange(size), SLOPES) if size else None
    return Mask(KEEP if padded else None, causal, slopes, table)


def blocks_of(block, padded, causal, distance):
    return replace(mask_of(padded, causal, distance), block=block)


def entry(b, h, i, j, padded, causal, distance):
    """What stands between query i and key j, by itself."""
    if j > i if causal else padded and j >= LENGTHS[b]:
        return -math.inf
    return 0.0 if distance == "none" else -float(SLOPES[h]) * abs(i - j)


@EVERY
def test_it_is_none_exactly_where_it_adds_nothing(padded, causal, distance):
    nothing = not padded and not causal and distance == "none"
    assert (mask_of(padded, causal, distance).bias(range(T), range(T), LIKE) is None) == nothing


@EVERY
@pytest.mark.parametrize("block", [None, *BLOCKS])
def test_no_real_query_sees_padding_and_none_sees_nothing(block, padded, causal, distance):
    """Under causal attention padding is not hidden: what is real stands before it."""
    bias = blocks_of(block, padded, causal, distance).bias(range(T), range(T), LIKE)
    weights = (torch.zeros(B, H, T, T).double() + (0 if bias is None else bias)).softmax(-1)
    assert weights.isfinite().all()  # padded queries among them: NaN would spread through the backward pass
    if padded:
        hidden = (KEEP[:, :, None] & ~KEEP[:, None, :])[:, None].expand(-1, H, -1, -1)
        assert hidden.any() and (weights[hidden] == 0).all()


@pytest.mark.parametrize(("padded", "causal"), list(product([False, True], repeat=2)))
def test_padding_is_hidden_key_by_key_unless_the_past_alone_is_seen(padded, causal):
    mask = mask_of(padded, causal, "none")
    if padded and not causal:  # the same for all queries, so that nothing of T squared is made
        assert mask.bias(range(T), range(T), LIKE).shape == (B, 1, 1, T)


@pytest.mark.parametrize("causal", [False, True])
def test_sequences_of_one_length_share_their_bias(causal):
    assert mask_of(False, causal, "slopes").bias(range(3), range(T), LIKE).shape == (1, H, 3, T)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_it_takes_device_and_dtype_of_what_it_is_added_to(dtype, device):
    mask = Mask(KEEP.to(device), False, SLOPES.to(device, torch.float32))
    bias = mask.bias(range(T), range(T), torch.zeros(1, dtype=dtype, device=device))
    assert (bias.dtype, bias.device.type) == (dtype, device.type)
    expected = mask_of(True, False, "slopes").bias(range(T), range(T), LIKE)
    assert torch.equal(bias.cpu().double(), expected)  # halves and doubles up to 12: exact in any of them


# Distances.


@pytest.mark.parametrize("heads", [1, 2, 3, 8])
def test_alibi_slopes_by_hand(heads):
    slopes = alibi_slopes(heads)
    assert slopes.dtype == torch.float64
    assert slopes.tolist() == pytest.approx([2 ** (-8 * h / heads) for h in range(1, heads + 1)], rel=1e-15)


def test_alibi_by_hand():
    bias = distance_bias(torch.arange(4), torch.arange(4), alibi_slopes(2))
    assert bias.shape == (2, 4, 4)
    assert bias[0, 3, 1].item() == pytest.approx(-(2**-4) * 2)
    assert bias[1, 0, 3].item() == pytest.approx(-(2**-8) * 3)


def test_the_bias_of_some_queries_entry_by_entry():
    """Row = query, wherever it stands; the sign does not matter, the distance does."""
    slopes, queries, keys = torch.tensor([0.3, 1.7, 0.9]).double(), torch.tensor([5, 0, 2]), torch.arange(7)
    found = distance_bias(queries, keys, slopes)
    assert found.shape == (3, 3, 7)
    for h, (row, i), j in product(range(3), enumerate(queries.tolist()), range(7)):
        assert found[h, row, j].item() == -slopes[h].item() * abs(i - j)


# Block-local attention.

EVERY_BLOCK = pytest.mark.parametrize("block", BLOCKS)


@EVERY
@pytest.mark.parametrize("block", [None, *BLOCKS])
@pytest.mark.parametrize(
    ("queries", "keys"),
    [
        (range(1), range(T)),
        (range(T), range(T)),
        (range(2, 5), range(1, T)),
        (range(2, 3), range(2, 4)),
        (range(T - 1, T), range(T)),
    ],
)
def test_every_entry_by_hand(block, padded, causal, distance, queries, keys):
    """In blocks, what is two blocks away is hidden, and a position of the padding sees itself."""
    bias = blocks_of(block, padded, causal, distance).bias(queries, keys, LIKE)
    found = (torch.zeros(1, 1, 1, 1).double() if bias is None else bias).expand(B, H, len(queries), len(keys))

    def by_hand(b, h, i, j):
        if block is not None and abs(i // block - j // block) > 1:
            return -math.inf
        return 0.0 if block is not None and i == j else entry(b, h, i, j, padded, causal, distance)

    expected = [[[[by_hand(b, h, i, j) for j in keys] for i in queries] for h in range(H)] for b in range(B)]
    assert torch.equal(found, torch.tensor(expected, dtype=torch.float64))


@EVERY_BLOCK
@pytest.mark.parametrize("length", [1, 5, 7])
def test_keys_of_a_block_are_its_own_and_its_neighbours(block, length):
    for start in range(0, length, block):
        queries = range(start, min(start + block, length))
        seen = {j for j in range(length) for i in queries if abs(i // block - j // block) <= 1}
        assert list(Mask(block=block).keys_of(queries, length)) == sorted(seen)
    assert Mask().keys_of(range(1), length) == range(length)


@EVERY_BLOCK
def test_where_all_see_each_other_nothing_is_added(block):
    mask = Mask(block=block)
    assert mask.bias(range(block), range(2 * block), LIKE) is None
    assert mask.bias(range(block, 2 * block), range(3 * block), LIKE) is None
    assert mask.bias(range(block), range(3 * block), LIKE) is not None
