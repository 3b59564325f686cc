"""ListOps: every label is what its tokens come to, and the sequences follow the law of the Long Range Arena."""

import random
from collections import Counter

import numpy as np
import pytest

from listops_value import evaluate
from selfpretrain.arena import listops
from selfpretrain.arena.listops import TOKENS, ListOps, grown
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError
from selfpretrain.streams import numpy_stream

N = 4000


@pytest.fixture(scope="module")
def made():
    """Tokens of sequences under the rules of the Long Range Arena, and their labels."""
    rows = ListOps(sequences=N).build(numpy_stream(0, "data"))
    return [[TOKENS[code] for code in row] for row in rows.columns[0]], list(map(int, rows.labels))


def test_every_label_is_what_its_tokens_come_to(made):
    x, y = made
    assert [evaluate(row) for row in x] == y


def depth_of(tokens):
    """The root is at depth 1."""
    deepest = depth = 0
    for token in tokens:
        depth += token.startswith("[")
        deepest = max(deepest, depth + (not token.startswith("[")))
        depth -= token == "]"
    return deepest


def test_lengths_depths_and_operators_are_those_that_were_measured_on_another_implementation(made):
    """Figures of 20,000 sequences by a slow one; tolerances are about four standard errors of both."""
    x, y = made
    lengths = np.array([len(row) for row in x])
    assert lengths.min() > 500 and lengths.max() < 2000
    assert lengths.mean() == pytest.approx(1038, abs=30)
    np.testing.assert_allclose(np.percentile(lengths, [5, 25, 50, 75, 95]), [540, 704, 959, 1313, 1803], rtol=0.04)
    assert {depth_of(row) for row in x[:500]} == {10}
    roots = Counter(row[0] for row in x)
    assert set(roots) == set(TOKENS[10:14])
    assert max(abs(count / N - 0.25) for count in roots.values()) < 0.03
    labels = np.bincount(y, minlength=10) / N
    stated = [0.171, 0.089, 0.076, 0.081, 0.090, 0.088, 0.080, 0.075, 0.083, 0.168]
    np.testing.assert_allclose(labels, stated, atol=0.024)


def slow_tree(chance, depth=1):
    """The grammar, read off its statement."""
    if depth == 10 or chance.random() < 0.75:
        return [str(chance.randrange(10))]
    tokens = [chance.choice(["[MIN", "[MAX", "[MED", "[SM"])]
    for _ in range(chance.randint(2, 10)):
        tokens += slow_tree(chance, depth + 1)
    return [*tokens, "]"]


def test_short_sequences_follow_the_law_of_a_slow_generator(monkeypatch):
    """Of sequences of 5 to 60 tokens: how long they are, and which tokens they hold."""
    chance, slow = random.Random(0), []
    monkeypatch.setattr(listops, "TREES", 20_000)
    while len(slow) < 2000:
        tokens = slow_tree(chance)
        if 5 <= len(tokens) <= 60:
            slow.append(tokens)
    fast = [[TOKENS[code] for code in tokens] for tokens, _ in grown(numpy_stream(0, "data"), 5, 60)]
    for counted in (
        lambda rows: Counter(len(row) // 8 for row in rows),
        lambda rows: Counter(t for r in rows for t in r),
    ):
        one, two = counted(slow), counted(fast)
        shares = np.array([[count[key] / sum(count.values()) for key in sorted({*one, *two})] for count in (one, two)])
        assert np.abs(shares[0] - shares[1]).max() < 0.04


def test_the_reference_by_hand():
    for text, value in (("[MAX 2 9 [MIN 4 7 ] 0 ]", 9), ("[MED 1 2 5 4 ]", 3), ("[SM 9 8 ]", 7)):
        assert evaluate(text.split()) == value


def test_the_task_is_split_as_in_the_arena_and_never_cut():
    task = load_task("lra-listops", sequences=200)
    assert [len(split) for split in (task.train, task.val, task.test)] == [192, 4, 4]
    assert task.codec.vocabulary and set(task.codec.vocabulary) == set(TOKENS)
    assert 1024 < task.length < 2000
    rows = {row[:length].tobytes() for row, length in zip(task.train.x, task.train.lengths, strict=True)}
    assert len(rows) == 192


def test_limits_that_leave_nothing_are_refused():
    with pytest.raises(RequestError, match="max_tokens 4 is below --min-tokens 5"):
        ListOps(min_tokens=5, max_tokens=4)
