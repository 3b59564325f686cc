"""The analytic count against a counter that watches the kernels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from conftest import BATCH, LENGTH, TINY_MODEL, ragged_task, spec, tiny_model, tiny_training
from selfpretrain.config import ModelConfig, PhaseConfig
from selfpretrain.model.mask import Mask
from selfpretrain.model.transformer import Block
from selfpretrain.train import flops
from selfpretrain.train.training import Start
from selfpretrain.train.work import STEP_OVERHEAD, step_flops, training_cost


def test_the_known_answer_of_one_block():
    """B=2, n=128, D=64, F=4D: 33,554,432 forward and 94,371,840 with backward, the input needing no gradient."""
    block = Block(ModelConfig(width=64, heads=4, ff_factor=4, attention="eager"), 128, 0)
    x = torch.randn(2, 128, 64)
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        block(x, Mask(), None)
    analytic = 2 * int(flops.block_flops(np.array(128), 64, 256))
    assert forward.get_total_flops() == analytic == 33_554_432
    with FlopCounterMode(display=False) as whole:
        block(x, Mask(), None).sum().backward()
    assert whole.get_total_flops() == flops.TRAIN_FACTOR * analytic
    block.attention_norm.requires_grad_(False)  # now nothing in front of query, key and value needs a gradient
    with FlopCounterMode(display=False) as both:
        block(x, Mask(), None).sum().backward()
    input_gradient = 2 * 128 * 3 * 64**2 * 2  # of query, key and value, for both sequences
    assert both.get_total_flops() == flops.TRAIN_FACTOR * analytic - input_gradient == 94_371_840


@pytest.mark.parametrize("kind", ["symbols", "values"])
@pytest.mark.parametrize("label_head", ["linear", "mlp"])
def test_a_label_step_equals_the_counter(kind, label_head):
    config = replace(TINY_MODEL, attention="eager", label_head=label_head, positions="learned")
    model = tiny_model(config, kind)
    x = torch.randn(BATCH, LENGTH, 3) if kind == "values" else torch.randint(5, (BATCH, LENGTH))
    with FlopCounterMode(display=False) as counter:
        model(x).logits.sum().backward()
    expected = flops.label_step(config, spec(kind), np.full(4, LENGTH), BATCH)
    if kind == "values":  # data need no gradient: one product of the embedding is saved
        expected -= 2 * BATCH * LENGTH * 3 * 12
    assert counter.get_total_flops() == expected


def test_a_reconstruction_step_equals_the_counter():
    model = tiny_model(TINY_MODEL)
    chosen = torch.zeros(BATCH, LENGTH, dtype=torch.bool)
    chosen[:, :2] = True
    # The counter sees this kernel, which is made of products.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(torch.randint(5, (BATCH, LENGTH)), None, chosen, labels=False).predictions.sum().backward()
    assert counter.get_total_flops() == flops.reconstruction_step(TINY_MODEL, spec(), np.full(4, LENGTH), BATCH, 2)


@pytest.mark.parametrize(
    "settings", [{"causal": True}, {"positions": "alibi"}, {"proximity_bias": 1.0}, {"attention": "eager"}], ids=str
)
@pytest.mark.parametrize(("pooling", "labels"), [("mean", False), ("last", True), ("last", False)])
def test_all_queries_count_where_all_are_computed(settings, pooling, labels):
    config = replace(TINY_MODEL, pooling=pooling, **settings)
    model, x = tiny_model(config, causal=config.causal), torch.randint(5, (BATCH, LENGTH))
    chosen = torch.zeros(BATCH, LENGTH, dtype=torch.bool)
    chosen[:, :2] = True
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        outputs = model(x, None, None if labels else chosen, labels=labels)
        (outputs.logits if labels else outputs.predictions).sum().backward()
    lengths = np.full(4, LENGTH)
    label, fill = (
        flops.label_step(config, spec(), lengths, BATCH),
        flops.reconstruction_step(config, spec(), lengths, BATCH, 2),
    )
    assert counter.get_total_flops() == (label if labels else fill)


@pytest.mark.parametrize("pooling", ["cls", "last"])
def test_a_step_that_fills_in_and_labels_counts_every_position(pooling):
    task = ragged_task()
    steps = {
        p: step_flops(tiny_training(task, "joint-corrupted", model=ModelConfig(width=8, heads=2, pooling=p)), task)
        for p in ("mean", pooling)
    }
    assert steps[pooling] >= steps["mean"]


@pytest.mark.parametrize("pooling", ["cls", "last"])
def test_a_label_step_that_reads_one_position_equals_the_counter(pooling):
    config = replace(TINY_MODEL, pooling=pooling)
    model = tiny_model(config)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(torch.randint(5, (BATCH, LENGTH))).logits.sum().backward()
    assert counter.get_total_flops() == flops.label_step(config, spec(), np.full(4, LENGTH), BATCH)


def test_padding_is_free_and_length_is_quadratic():
    lengths = np.array([3, 5])
    mean = np.mean([flops.encoder_flops(TINY_MODEL, spec(), np.array([n])) for n in lengths])
    assert flops.encoder_flops(TINY_MODEL, spec(), lengths) == mean
    a, b, c = (int(flops.block_flops(np.array(n), 12, 24)) for n in (100, 200, 300))
    assert c - 2 * b + a == 2 * 4 * 12 * 100**2


def test_joint_pays_for_a_masked_pass_over_its_label_batch():
    task = ragged_task()
    settings = {"label": PhaseConfig(duration="9", batch_size=20), "pretrain": PhaseConfig(duration="9", batch_size=5)}
    spt, joint = (tiny_training(task, arm, **settings) for arm in ("spt", "joint"))
    extra = step_flops(joint, task) - step_flops(spt, task)
    assert extra == pytest.approx(4 * step_flops(spt.source, task), rel=1e-6)


def test_a_training_costs_its_steps_and_what_lends_attention_costs_a_forward_pass():
    task = ragged_task()
    spt = tiny_training(task, "spt")
    assert training_cost(spt, task) == spt.plan.steps * (step_flops(spt, task) + STEP_OVERHEAD)
    borrowing = replace(spt, start=Start(source=spt.source, groups=(), maps=True))
    forward = spt.plan.batch_size * flops.encoder_flops(spt.model, task.inputs, task.train.lengths)
    assert step_flops(borrowing, task) - step_flops(spt, task) == round(forward)


@pytest.mark.parametrize("block", [1, 2, 3, 5, 8])
def test_pairs_of_block_local_attention_are_those_that_are_left_in_the_mask(block):
    lengths = np.arange(1, 14)
    by_hand = [sum(abs(i // block - j // block) <= 1 for i in range(n) for j in range(n)) for n in lengths]
    assert flops.attended_pairs(lengths, block).tolist() == by_hand
