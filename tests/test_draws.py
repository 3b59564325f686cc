"""Counter-based draws against SplitMix64 in Python integers, and their independence of everything but the row."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from selfpretrain.draws import Draws, below, bernoulli, mix, words

WORD = 2**64


def splitmix(state, count):
    """The reference implementation, word by word."""
    drawn = []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) % WORD
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
        drawn.append(z ^ (z >> 31))
    return drawn


def signed(word):
    return word - WORD if word >= WORD // 2 else word


def keys_of(rows, *, seed=0, step=0, stream="masks"):
    return Draws(seed, step, torch.as_tensor(rows)).keys(stream)


def test_words_are_splitmix64s():
    """1234567 is the test vector of the published C code."""
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert splitmix(1234567, 4) == known
    assert [w % WORD for w in words(torch.tensor([1234567]), 4, first=1)[0].tolist()] == known


@given(st.integers(0, WORD - 1), st.integers(1, 9))
def test_words_equal_the_reference_for_any_key(key, count):
    drawn = words(torch.tensor([signed(key)]), count, first=1)[0].tolist()
    assert [word % WORD for word in drawn] == splitmix(key, count)


def test_a_draw_does_not_depend_on_how_many_are_drawn_or_for_whom():
    rows = torch.arange(50)
    whole = bernoulli(keys_of(rows), 40, 0.3)
    assert torch.equal(bernoulli(keys_of(rows), 13, 0.3), whole[:, :13])
    assert torch.equal(bernoulli(keys_of(rows[[7, 3]]), 40, 0.3), whole[[7, 3]])


@pytest.mark.parametrize("probability", [0.0, 0.02, 0.5, 0.9, 1.0])
def test_the_share_is_the_probability(probability):
    drawn = bernoulli(keys_of(range(2000)), 101, probability).double()
    error = (probability * (1 - probability) / drawn.numel()) ** 0.5
    assert abs(float(drawn.mean()) - probability) <= 4 * error


def test_draws_of_neighbours_in_place_row_step_seed_and_stream_are_independent():
    rows = torch.arange(4000)
    drawn = bernoulli(keys_of(rows), 64, 0.5)
    others = {
        "place": drawn.roll(1, dims=1),
        "half": drawn.roll(2, dims=1),
        "row": drawn.roll(1, dims=0),
        "step": bernoulli(keys_of(rows, step=1), 64, 0.5),
        "seed": bernoulli(keys_of(rows, seed=1), 64, 0.5),
        "stream": bernoulli(keys_of(rows, stream="dropout"), 64, 0.5),
    }
    for name, other in others.items():
        agreement = float((drawn == other).double().mean())
        assert abs(agreement - 0.5) < 4 * (0.25 / drawn.numel()) ** 0.5, name


def test_draws_below_a_bound_are_uniform_and_apart_from_the_others():
    keys = keys_of(range(20_000))
    drawn = below(keys, 7)
    assert stats.chisquare(torch.bincount(drawn, minlength=7).numpy()).pvalue > 1e-3
    first = bernoulli(keys, 1, 0.5)[:, 0].double()
    assert abs(float(torch.corrcoef(torch.stack((drawn.double(), first)))[0, 1])) < 4 / 20_000**0.5


@given(st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=5))
def test_a_draw_below_its_own_bound_is_the_reference_in_integers(bounds):
    keys = keys_of(range(len(bounds)))
    expected = [
        ((mix(torch.tensor([key])).item() % WORD) >> 32) * bound >> 32
        for key, bound in zip(keys.tolist(), bounds, strict=True)
    ]
    assert below(keys, torch.tensor(bounds)).tolist() == expected


def test_keys_are_all_different():
    keys = torch.cat([keys_of(range(1000), seed=s, step=t) for s in range(5) for t in range(5)])
    assert len(set(keys.tolist())) == len(keys)
