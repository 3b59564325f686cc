"""Masks entry by entry: what a kernel adds to the scores of each query and key."""

import math
from itertools import product

import pytest
import torch

from selfpretrain.model.mask import Mask
from selfpretrain.model.positions import distance_bias

B, T, H = 3, 7, 2
LENGTHS = (7, 4, 1)
KEEP = torch.arange(T) < torch.tensor(LENGTHS)[:, None]
SLOPES = torch.tensor([0.5, 2.0], dtype=torch.float64)
LIKE = torch.zeros(1, dtype=torch.float64)
DISTANCES = ("none", "slopes", "table", "longer table")
EVERY = pytest.mark.parametrize(
    ("padded", "causal", "distance"), list(product([False, True], [False, True], DISTANCES))
)


def mask_of(padded, causal, distance):
    slopes = None if distance == "none" else SLOPES
    size = {"table": T, "longer table": T + 4}.get(distance, 0)
    table = distance_bias(torch.arange(size), torch.arange(size), SLOPES) if size else None
    return Mask(KEEP if padded else None, causal, slopes, table)


def entry(b, h, i, j, padded, causal, distance):
    """What stands between query i and key j, by itself."""
    if j > i if causal else padded and j >= LENGTHS[b]:
        return -math.inf
    return 0.0 if distance == "none" else -float(SLOPES[h]) * abs(i - j)


@EVERY
@pytest.mark.parametrize(("start", "stop"), [(0, T), (0, 1), (2, 5), (T - 1, T)])
def test_every_entry_by_hand(padded, causal, distance, start, stop):
    bias = mask_of(padded, causal, distance).bias(start, stop, T, LIKE)
    if bias is None:
        bias = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    assert bias.ndim == 4 and bias.dtype == torch.float64
    found = bias.expand(B, H, stop - start, T)
    for b, h, i, j in product(range(B), range(H), range(start, stop), range(T)):
        assert found[b, h, i - start, j] == entry(b, h, i, j, padded, causal, distance)


@EVERY
def test_it_is_none_exactly_where_it_adds_nothing(padded, causal, distance):
    nothing = not padded and not causal and distance == "none"
    assert (mask_of(padded, causal, distance).bias(0, T, T, LIKE) is None) == nothing


@EVERY
def test_no_real_query_sees_padding_and_none_sees_nothing(padded, causal, distance):
    """Under causal attention padding is not hidden: what is real stands before it."""
    bias = mask_of(padded, causal, distance).bias(0, T, T, LIKE)
    weights = (torch.zeros(B, H, T, T).double() + (0 if bias is None else bias)).softmax(-1)
    assert weights.isfinite().all()  # padded queries among them: NaN would spread through the backward pass
    if padded:
        hidden = (KEEP[:, :, None] & ~KEEP[:, None, :])[:, None].expand(-1, H, -1, -1)
        assert hidden.any() and (weights[hidden] == 0).all()


@pytest.mark.parametrize(("padded", "causal"), list(product([False, True], repeat=2)))
def test_padding_is_hidden_key_by_key_unless_the_past_alone_is_seen(padded, causal):
    mask = mask_of(padded, causal, "none")
    assert mask.hides_by_key == (padded and not causal)
    if mask.hides_by_key:  # the same for all queries, so that nothing of T squared is made
        assert mask.bias(0, T, T, LIKE).shape == (B, 1, 1, T)


@pytest.mark.parametrize("causal", [False, True])
def test_sequences_of_one_length_share_their_bias(causal):
    assert mask_of(False, causal, "slopes").bias(0, 3, T, LIKE).shape == (1, H, 3, T)


def test_positions_put_in_front_are_real():
    mask = mask_of(True, True, "slopes").behind(2)
    assert mask.keep.tolist() == [[True, True, *row] for row in KEEP.tolist()]
    assert (mask.causal, mask.table) == (True, None) and mask.slopes is SLOPES
    table = mask_of(False, False, "table")
    assert table.behind(1) == table  # without padding there is nothing to put it before


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_it_takes_device_and_dtype_of_what_it_is_added_to(dtype, device):
    mask = Mask(KEEP.to(device), False, SLOPES.to(device, torch.float32))
    bias = mask.bias(0, T, T, torch.zeros(1, dtype=dtype, device=device))
    assert (bias.dtype, bias.device.type) == (dtype, device.type)
    expected = mask_of(True, False, "slopes").bias(0, T, T, LIKE)
    assert torch.equal(bias.cpu().double(), expected)  # halves and doubles up to 12: exact in any of them


def test_dimensions_are_counted_from_the_right():
    """Padding of two batches beside each other: (2, B, T)."""
    both = torch.stack((KEEP, KEEP.flip(0)))
    found = Mask(both, False, SLOPES).bias(1, 4, T, LIKE)
    assert found.shape == (2, B, H, 3, T)
    for number, keep in enumerate(both):
        assert torch.equal(found[number], Mask(keep, False, SLOPES).bias(1, 4, T, LIKE))
