"""Lag statistics against loops over every pair, and against a chain whose laws are known.

The chain has eight symbols; its next one is the previous plus s (modulo 8) half of the time, else any; s = +1 in one
class and -1 in the other. So a symbol k later is the symbol plus k s with probability 2^-k, else any, and

    R(k) = (2^-k P^k + (1 - 2^-k) J / 8) / 8

with P the shift by s and J all ones. The other class has the transpose. With norms |P^k - P^-k| = 4 (0 if k is a
multiple of 4), |J| = 8 and |P^k - J / 8| = sqrt(7):

    beta_k = 2 x / sqrt(7 x^2 + 1)   with x = 2^-k,     beta_centred_k = 2 / sqrt(7)
"""

import math
from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from selfpretrain.diagnostics.data import lag_statistics, pair_features

# The chain


def exact_pairs(lag, step):
    """Sequences of lag + 1 positions whose ends have exactly the law of R(lag); what lies between is arbitrary."""
    rest = 2**lag - 1
    rows = []
    for a, b in product(range(8), range(8)):
        rows += [[a, *[0] * (lag - 1), b]] * (rest + 8 * (b == (a + lag * step) % 8))
    return np.array(rows)


def both_classes(make):
    up, down = make(1), make(-1)
    return np.concatenate((up, down)), np.repeat([0, 1], [len(up), len(down)])


def expected_pairs(lag, step):
    """R(lag) from its definition: powers of the transition matrix."""
    transition = np.full((8, 8), 0.5 / 8)
    for a in range(8):
        transition[a, (a + step) % 8] += 0.5
    return np.linalg.matrix_power(transition, lag) / 8


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 5, 6, 8])
def test_the_chain_exactly(lag):
    x, y = both_classes(lambda step: exact_pairs(lag, step))
    found = lag_statistics(x, y, lag)
    share = 2.0**-lag
    apart = lag % 4 != 0  # plus four and minus four are the same
    assert found.beta[lag - 1] == pytest.approx(apart * 2 * share / math.sqrt(7 * share**2 + 1), abs=1e-14)
    assert found.beta_centred[lag - 1] == pytest.approx(apart * 2 / math.sqrt(7), abs=1e-12)
    assert found.beta_symmetric[lag - 1] == pytest.approx(0, abs=1e-14)
    up, down = found.per_class[:, lag - 1]
    np.testing.assert_allclose(down, up.T, atol=1e-15)
    np.testing.assert_allclose(np.sort(up.ravel()), np.sort(expected_pairs(lag, 1).ravel()), atol=1e-15)
    assert np.trace(up) == pytest.approx(np.trace(down), abs=1e-15)  # which would tell nothing
    assert np.trace(up) == pytest.approx(np.trace(expected_pairs(lag, 1)), abs=1e-15)


def chain(count, length, step, generator):
    x = generator.integers(8, size=(count, length))
    local = generator.random((count, length)) < 0.5
    for t in range(1, length):
        x[:, t] = np.where(local[:, t], (x[:, t - 1] + step) % 8, x[:, t])
    return x


# Loops


def pairs_by_loops(x, y, lengths, max_lag, embed):
    """R_y(k) and the products of the mean ends, from every pair of positions, one after the other."""
    classes = sorted(set(y.tolist()))
    d = len(embed(x[0][0]))
    together, apart = (np.zeros((len(classes), max_lag, d, d)) for _ in range(2))
    for c, lag in product(range(len(classes)), range(1, max_lag + 1)):
        lefts, rights = [], []
        for sequence, label, length in zip(x, y, lengths, strict=True):
            for i in range(length - lag):
                if label == classes[c]:
                    lefts.append(embed(sequence[i]))
                    rights.append(embed(sequence[i + lag]))
        if lefts:
            together[c, lag - 1] = sum(np.outer(a, b) for a, b in zip(lefts, rights, strict=True)) / len(lefts)
            apart[c, lag - 1] = np.outer(np.mean(lefts, 0), np.mean(rights, 0))
    return together, apart


def differences_by_loops(matrices):
    """The largest over pairs of classes, for every lag."""
    out = []
    for lag in range(matrices.shape[1]):
        each = [0.0]
        for a, b in product(range(len(matrices)), repeat=2):
            one, two = matrices[a, lag], matrices[b, lag]
            norms = math.sqrt((one**2).sum()) + math.sqrt((two**2).sum())
            if norms > 0:
                each.append(math.sqrt(((one - two) ** 2).sum()) / norms)
        out.append(max(each))
    return out


def assert_matches_loops(found, x, y, lengths, max_lag, embed):
    together, apart = pairs_by_loops(x, y, lengths, max_lag, embed)
    np.testing.assert_allclose(found.beta, differences_by_loops(together), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(found.beta_centred, differences_by_loops(together - apart), rtol=1e-9, atol=1e-13)
    symmetric = (together + together.swapaxes(2, 3)) / 2
    np.testing.assert_allclose(found.beta_symmetric, differences_by_loops(symmetric), rtol=1e-10, atol=1e-14)
    return together


def equal_up_to_the_order_of_symbols(found, expected, axes=(-2, -1)):
    """One order of the symbols for all classes and lags."""
    size = expected.shape[-1]
    orders = (list(order) for order in permutations(range(size)))
    return found.shape == expected.shape and any(
        np.allclose(found.take(order, -1).take(order, -2), expected, rtol=1e-12, atol=1e-15) for order in orders
    )


LENGTHS = {"all": None, "some": np.random.default_rng(7).integers(1, 10, size=30)}


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("classes", [2, 3])
def test_symbols_by_loops(classes, lengths):
    generator = np.random.default_rng(1)
    names = np.array([3, 7, 11, 40])  # neither from zero nor without gaps
    y = np.array([2, 5, 9])[np.arange(30) % classes]
    x = names[(generator.integers(4, size=(30, 9)) * (1 + (y[:, None] == 5))) % 4]
    found = lag_statistics(x, y, 8, lengths=lengths)
    seen = np.full(30, 9) if lengths is None else lengths
    together = assert_matches_loops(found, x, y, seen, 8, lambda s: (names == s).astype(float))
    assert equal_up_to_the_order_of_symbols(found.per_class, together)
    assert found.beta.shape == found.beta_chance.shape == (8,)


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_by_loops(channels, lengths, dtype):
    generator = np.random.default_rng(2)
    shape = (30, 9) if channels is None else (30, 9, channels)
    x = generator.normal(size=shape).astype(dtype)
    x = x + 0.5  # a mean for centring to take off
    x[:, 1:] += 0.7 * x[:, :-1]
    y = np.arange(30) % 3
    found = lag_statistics(x, y, 5, lengths=lengths)
    seen = np.full(30, 9) if lengths is None else lengths
    together = assert_matches_loops(found, x, y, seen, 5, lambda v: np.atleast_1d(v).astype(np.float64))
    np.testing.assert_allclose(found.per_class, together, rtol=1e-10, atol=1e-13)
    if channels is None:
        assert found.per_class.shape == (3, 5, 1, 1)


def test_classes_of_the_same_sequences_do_not_differ():
    x = np.random.default_rng(3).integers(5, size=(20, 6))
    found = lag_statistics(np.concatenate((x, x, x)), np.repeat([0, 1, 2], 20), 5)
    for beta in (found.beta, found.beta_centred, found.beta_symmetric):
        np.testing.assert_allclose(beta, 0, atol=1e-15)
    one = lag_statistics(x, np.zeros(20, dtype=int), 5)  # nor does one class, from itself
    assert one.per_class.shape[0] == 1
    assert not one.beta.any() and not one.beta_chance.any()


def test_lags_that_no_sequence_reaches():
    generator = np.random.default_rng(4)
    x, y = generator.integers(3, size=(20, 9)), np.arange(20) % 2
    found = lag_statistics(x, y, 8, lengths=np.full(20, 4))
    assert (found.per_class[:, 3:] == 0).all() and found.per_class[:, :3].sum() == pytest.approx(6)
    for beta in (found.beta, found.beta_centred, found.beta_symmetric, found.beta_chance):
        assert (beta[3:] == 0).all() and np.isfinite(beta).all()


# What must not matter


@pytest.mark.parametrize("kind", ["symbols", "values"])
def test_what_lies_behind_the_end_is_not_read(kind):
    generator = np.random.default_rng(5)
    lengths = generator.integers(2, 8, size=40)
    behind = np.arange(7) >= lengths[:, None]
    x = generator.integers(4, size=(40, 7)) if kind == "symbols" else generator.normal(size=(40, 7))
    found = [
        lag_statistics(np.where(behind, filler, x), np.arange(40) % 2, 4, lengths=lengths)
        for filler in ([0, 3, 9] if kind == "symbols" else [0.0, 1e9, np.nan])
    ]
    for other in found[1:]:
        for name in ("beta", "beta_centred", "beta_symmetric", "beta_chance"):
            np.testing.assert_allclose(getattr(other, name), getattr(found[0], name), rtol=1e-12, atol=1e-15)


@given(st.permutations(range(5)), st.integers(0, 1000))
@settings(deadline=None, max_examples=25)
def test_names_of_symbols_and_order_of_sequences_do_not_matter(names, seed):
    generator = np.random.default_rng(seed)
    x, y = generator.integers(5, size=(20, 6)), generator.integers(2, size=20)
    order = generator.permutation(20)
    one, two = lag_statistics(x, y, 3), lag_statistics(np.array(names)[x][order], y[order], 3)
    for name in ("beta", "beta_centred", "beta_symmetric"):
        np.testing.assert_allclose(getattr(two, name), getattr(one, name), rtol=1e-10, atol=1e-14)
        assert (getattr(one, name) >= 0).all() and (getattr(one, name) <= 1 + 1e-12).all()


@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
@settings(deadline=None, max_examples=25)
def test_scale_and_rotation_of_values_do_not_matter(seed, scale):
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(20, 6, 3)), np.arange(20) % 2
    turn, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    one, two = lag_statistics(x, y, 3), lag_statistics(scale * x @ turn, y, 3)
    for name in ("beta", "beta_centred", "beta_symmetric", "beta_chance"):
        np.testing.assert_allclose(getattr(two, name), getattr(one, name), rtol=1e-9, atol=1e-12)


# Chance


def test_chance_is_the_size_of_beta_where_labels_are_random():
    generator = np.random.default_rng(8)
    found = [
        lag_statistics(generator.integers(8, size=(60, 12)), generator.permutation(60) % 2, 2, seed=seed)
        for seed in range(30)
    ]
    beta, chance = (np.mean([getattr(f, name) for f in found]) for name in ("beta", "beta_chance"))
    assert chance == pytest.approx(beta, rel=0.05)
    # Far below it where labels decide.
    x, y = both_classes(lambda step: chain(30, 12, step, generator))
    decided = lag_statistics(x, y, 1)
    assert decided.beta_chance[0] < 0.5 * decided.beta[0]


def test_chance_is_a_mean_and_not_a_single_draw():
    """Of one channel a single draw is as good as any number from 0 to 1: it varies by half of its mean."""
    x, y = np.random.default_rng(9).normal(size=(40, 12)), np.arange(40) % 2
    draws = [lag_statistics(x, y, 1, seed=seed).beta_chance[0] for seed in range(40)]
    generator = np.random.default_rng(10)
    by_hand = []
    for _ in range(500):
        shuffled = generator.permutation(y)
        plus, minus = ((x[shuffled == c][:, :-1] * x[shuffled == c][:, 1:]).mean() for c in (0, 1))
        by_hand.append(abs(plus - minus) / (abs(plus) + abs(minus)))
    assert np.mean(draws) == pytest.approx(np.mean(by_hand), rel=0.3)
    assert np.std(draws) < 0.4 * np.mean(draws)


# Large alphabets


def test_rare_symbols_count_as_one():
    generator = np.random.default_rng(11)
    x = generator.permutation(np.repeat(np.arange(70), np.arange(71, 141))).reshape(-1, 5)
    y = np.arange(len(x)) % 2
    merged = np.where(x < 7, 0, x)  # the seven rarest
    found, expected = lag_statistics(x, y, 3), lag_statistics(merged, y, 3)
    assert found.per_class.shape == (2, 3, 64, 64)
    for name in ("beta", "beta_centred", "beta_symmetric"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12)
    np.testing.assert_allclose(found.per_class.sum((-2, -1)), 1, rtol=1e-12)
    # Not the same as without: the seven make pairs of their own.
    together, _ = pairs_by_loops(x, y, [5] * len(x), 1, lambda s: np.eye(70)[s])
    assert abs(found.beta[0] - differences_by_loops(together)[0]) > 1e-6


def test_what_lies_behind_the_end_makes_no_symbol_rare():
    """64 symbols fit; the filler is none of them."""
    generator = np.random.default_rng(12)
    x = generator.permutation(np.repeat(np.arange(64), 10)).reshape(-1, 10)
    y, lengths = np.arange(len(x)) % 2, np.full(len(x), 10)
    padded = np.hstack((x, np.full((len(x), 5), 99)))
    found = lag_statistics(padded, y, 2, lengths=lengths)
    np.testing.assert_allclose(found.beta, lag_statistics(x, y, 2).beta, rtol=1e-12)


# Kinds of input


@pytest.mark.parametrize("kind", ["symbols", "values", "channels"])
def test_torch_tensors_are_taken(kind):
    generator = torch.Generator().manual_seed(0)
    shape = (20, 7, 2) if kind == "channels" else (20, 7)
    x = torch.randint(5, shape, generator=generator) if kind == "symbols" else torch.randn(shape, generator=generator)
    y, ends = torch.arange(20) % 3, torch.randint(2, 8, (20,), generator=generator)
    found = lag_statistics(x, y, 3, lengths=ends)
    for one, expected in zip(found, lag_statistics(x.numpy(), y.numpy(), 3, lengths=ends.numpy()), strict=True):
        assert isinstance(one, np.ndarray) and one.dtype == np.float64
        np.testing.assert_array_equal(one, expected)


def test_truth_values_are_two_symbols():
    x, y = np.random.default_rng(0).random((20, 7)) < 0.4, np.arange(20) % 2
    np.testing.assert_allclose(lag_statistics(x, y, 3).beta, lag_statistics(x.astype(int), y, 3).beta, rtol=1e-12)


X, Y = np.zeros((6, 5), dtype=int), np.arange(6) % 2


@pytest.mark.parametrize(
    ("x", "y", "settings"),
    [
        (X, Y, {"max_lag": 0}),
        (X, Y, {"max_lag": -1}),
        (X, Y, {"max_lag": 5}),
        (X, Y[:5], {}),
        (X[0], Y[:5], {}),
        (X[..., None, None], Y, {}),
        (X[..., None], Y, {}),  # symbols have no channels
        (X, Y[:, None], {}),
        (X, np.zeros((6, 5), dtype=int), {}),
        (X, Y, {"lengths": np.full(5, 5)}),
        (X, Y, {"lengths": np.full(1, 5)}),
    ],
    ids=[
        *("no lag", "negative lag", "too long a lag", "fewer labels", "one sequence", "four axes", "symbol channels"),
        *("labels in a column", "labels of positions", "fewer lengths", "one length"),
    ],
)
def test_what_does_not_fit_is_refused(x, y, settings):
    with pytest.raises(ValueError):
        lag_statistics(x, y, **{"max_lag": 2, **settings})


# Sequences one by one


def test_pair_features_of_symbols_by_loops():
    generator = np.random.default_rng(13)
    names = np.array([2, 3, 10])
    x, lengths = names[generator.integers(3, size=(12, 6)) % 3], generator.integers(1, 7, size=12)
    found = pair_features(x, 4, lengths)
    assert found.shape == (12, 4 * 3 * 3)
    expected = np.zeros((12, 4, 3, 3))
    for row, (sequence, length) in enumerate(zip(x, lengths, strict=True)):
        together, _ = pairs_by_loops([sequence], np.zeros(1), [length], 4, lambda s: (names == s).astype(float))
        expected[row] = together[0]
    assert equal_up_to_the_order_of_symbols(found.reshape(12, 4, 3, 3), expected)


@pytest.mark.parametrize("channels", [None, 2])
def test_pair_features_of_values_by_loops(channels):
    generator = np.random.default_rng(14)
    x = generator.normal(size=(12, 6) if channels is None else (12, 6, channels))
    lengths = generator.integers(1, 7, size=12)
    found = pair_features(x, 5, lengths)
    for row, (sequence, length) in enumerate(zip(x, lengths, strict=True)):
        together, _ = pairs_by_loops([sequence], np.zeros(1), [length], 5, np.atleast_1d)
        np.testing.assert_allclose(found[row], together.ravel(), rtol=1e-12, atol=1e-14)


def test_pair_features_average_to_the_statistics_of_a_class():
    """Of sequences of equal length, with the same order of symbols."""
    x = np.random.default_rng(15).integers(5, size=(30, 9))
    found = pair_features(x, 3, np.full(30, 9)).mean(0)
    np.testing.assert_allclose(found, lag_statistics(x, np.zeros(30), 3).per_class.ravel(), rtol=1e-12)
