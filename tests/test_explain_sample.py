"""The sample: how many sequences fit, and a label head whose mean prediction is the classes' shares."""

import pytest
import torch

from conftest import CLASSES, LENGTH, SYMBOLS, tiny_model
from selfpretrain.config import ModelConfig, ObjectiveConfig
from selfpretrain.draws import Draws
from selfpretrain.explain.sample import SCORE_BYTES, Sample
from selfpretrain.feed import Batch
from selfpretrain.objectives.labels import label_losses


@pytest.fixture
def sample():
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, SYMBOLS, (40, LENGTH), generator=generator)
    y = torch.arange(40).sqrt().long() % CLASSES  # of unequal shares
    batch = Batch(x, None, y, Draws(0, 0, torch.arange(40)))
    return Sample(batch, torch.rand(x.shape, generator=generator) < 0.5, ObjectiveConfig())


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_calibrated_the_mean_prediction_is_the_classes_shares_and_nothing_else_moves(sample, head):
    model = tiny_model(ModelConfig(label_head=head)).eval()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    off = label_losses(model, sample.batch, model.inputs).mean()
    sample.calibrate(model)
    moved = [name for name, weight in model.state_dict().items() if not torch.equal(weight, before[name])]
    assert len(moved) == 1
    assert moved[0].startswith("label_head") and moved[0].endswith("bias")
    # At the best bias the cross-entropy has slope 0 along it, which is what equal shares say.
    bias = model.get_parameter(moved[0])
    (slope,) = torch.autograd.grad(label_losses(model, sample.batch, model.inputs).mean(), bias)
    assert slope.abs().max() < 1e-6
    assert label_losses(model, sample.batch, model.inputs).mean() < off


def test_parts_and_chunks_hold_every_sequence_once_and_in_order(sample):
    chunks = sample.chunks(7)
    assert [len(chunk) for chunk in chunks] == [7, 7, 7, 7, 7, 5]
    assert torch.equal(torch.cat([chunk.batch.x for chunk in chunks]), sample.batch.x)
    assert torch.equal(torch.cat([chunk.chosen for chunk in chunks]), sample.chosen)
    assert torch.equal(torch.cat([chunk.batch.draws.rows for chunk in chunks]), sample.batch.draws.rows)
    assert torch.equal(sample.part(3, 5).batch.y, sample.batch.y[3:5])


def test_as_many_are_taken_together_as_their_scores_fit(sample):
    model = tiny_model(ModelConfig(heads=2))
    each = 4 * 2 * LENGTH * LENGTH  # float32, two heads
    for layers in (1, 3):
        size = sample.together(model, layers=layers)
        assert size * layers * each <= SCORE_BYTES < (size + 1) * layers * each
    long = Batch(torch.zeros(2, 10_000), None, torch.zeros(2), sample.batch.draws)
    assert Sample(long, sample.chosen, sample.objective).together(model) == 1
