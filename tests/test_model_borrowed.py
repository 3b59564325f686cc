"""A model that attends as another does."""

from dataclasses import replace

import pytest
import torch

from conftest import TINY_MODEL, do, ragged_task, spec, tiny_model, tiny_training
from selfpretrain.model.borrowed import BorrowedAttention
from selfpretrain.model.transformer import fresh_model
from selfpretrain.train.training import Start


@pytest.fixture
def pair():
    own, lender = (fresh_model(TINY_MODEL, spec(), seed).eval() for seed in (0, 1))
    return own, lender, BorrowedAttention(own, lender)


X = torch.arange(21).view(3, 7) % 5
KEEP = torch.arange(7) < torch.tensor([[7], [4], [6]])


def test_what_borrows_from_a_copy_of_itself_is_itself():
    own, twin = (tiny_model().eval() for _ in range(2))
    alone = own(X, KEEP).logits
    torch.testing.assert_close(BorrowedAttention(own, twin)(X, KEEP).logits, alone)


def test_every_layer_mixes_values_by_the_lender_s_weights(pair):
    """By hand, block by block: softmax of the lender's scores, everything else of its own."""
    own, lender, model = pair
    found = model(X, KEEP).logits
    scores, h = [], lender.embedding(X) + lender.positions[:7]
    blind = torch.zeros(3, 1, 1, 7).masked_fill(~KEEP[:, None, None], -torch.inf)

    def heads(weights):
        return weights.view(3, 7, 3, 4).transpose(1, 2)

    for block in lender.blocks:
        n = block.attention_norm(h)
        scores.append(heads(block.attention.query(n)) @ heads(block.attention.key(n)).transpose(2, 3) / 2 + blind)
        mixed = scores[-1].softmax(-1) @ heads(block.attention.value(n))
        h = h + block.attention.output(mixed.transpose(1, 2).flatten(2))
        h = h + block.feedforward_out(torch.nn.functional.gelu(block.feedforward_in(block.feedforward_norm(h))))
    h = own.embedding(X) + own.positions[:7]
    for block, lent in zip(own.blocks, scores, strict=True):
        n = block.attention_norm(h)
        h = h + block.attention.output((lent.softmax(-1) @ heads(block.attention.value(n))).transpose(1, 2).flatten(2))
        h = h + block.feedforward_out(torch.nn.functional.gelu(block.feedforward_in(block.feedforward_norm(h))))
    expected = own.label_head(own.pool(own.final_norm(h), KEEP))
    torch.testing.assert_close(found, expected)


def test_the_lender_and_own_queries_and_keys_do_not_learn(pair):
    own, lender, model = pair
    model.train()(X, KEEP).logits.sum().backward()
    assert all(p.grad is None for p in lender.parameters())
    attention = own.blocks[0].attention
    assert attention.query.weight.grad is None and attention.key.weight.grad is None
    assert attention.value.weight.grad.abs().sum() > 0


def test_a_training_with_borrowed_maps_ends_with_the_source_s_weights_in_its_lender(tmp_path):
    task = ragged_task()
    spt = tiny_training(task, "spt")
    training = replace(spt, start=Start(source=spt.source, groups=(), maps=True))
    finished, source = do(training, task, tmp_path), do(spt.source, task, tmp_path)
    assert finished.result.failure is None
    for name, weight in source.weights.items():
        assert torch.equal(finished.weights[f"lender.{name}"], weight)
    fresh = fresh_model(training.model, task.inputs, training.seed).state_dict()
    own = {name.removeprefix("own."): w for name, w in finished.weights.items() if name.startswith("own.")}
    still = {name for name, weight in own.items() if torch.equal(weight, fresh[name])}
    assert {name for name in fresh if ".query." in name or ".key." in name} <= still
    assert not any(".value.weight" in name for name in still)
