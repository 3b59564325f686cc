"""The sequences that models are looked at with: which, how many, and a label head that is right on average."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import CLASSES, LENGTH, SYMBOLS, TINY_DIAGNOSIS, ragged_task, spec, tiny_config, tiny_model
from selfpretrain.config import LEAST_SAMPLE, DiagnoseConfig, ModelConfig, ObjectiveConfig
from selfpretrain.data.codec import Codec
from selfpretrain.data.feed import Batch
from selfpretrain.data.task import Split, Task
from selfpretrain.draws import Draws
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.explain import sample as samples
from selfpretrain.explain.sample import SCORE_BYTES, Sample, Sampling, reconstruction_of
from selfpretrain.explain.subject import Subject
from selfpretrain.model.transformer import fresh_model
from selfpretrain.train.objectives import label_losses


@pytest.fixture
def sample():
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, SYMBOLS, (40, LENGTH), generator=generator)
    y = torch.arange(40).sqrt().long() % CLASSES  # of unequal shares
    batch = Batch(x, None, y, Draws(0, 0, torch.arange(40)))
    return Sample(batch, torch.rand(x.shape, generator=generator) < 0.5, reconstruction_of(ObjectiveConfig(), spec()))


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
    assert replace(sample, batch=long).together(model) == 1


# Which sequences.


def tiny_model_of(task):
    return fresh_model(ModelConfig(width=8, heads=2), task.inputs, 0).eval()


def beginnings(split, length):
    """What may be drawn: class and number by the first so many positions of every sequence that has them."""
    there = zip(split.x, split.y, split.numbers, split.lengths, strict=True)
    return {(x[:length].astype(np.int64).tobytes(), y, number) for x, y, number, n in there if n >= length}


def drawn(sample):
    rows = zip(sample.batch.x, sample.batch.y.tolist(), sample.batch.draws.rows.tolist(), strict=True)
    return [(x.numpy().tobytes(), y, number) for x, y, number in rows]


def test_samples_are_fixed_of_one_length_and_keep_their_labels():
    task, objective = ragged_task(n=400), tiny_config().objective
    sizes = Sampling.of(task, ModelConfig(), DiagnoseConfig(sample=120, max_lag=2))
    assert 3 < sizes.length < task.length
    assert 120 == sizes.n_sample < sizes.n_large <= 200
    small, again, large = (sizes.draw(task, task.train, count, objective) for count in (120, 120, sizes.n_large))
    assert (len(small), len(large)) == (120, sizes.n_large)
    assert drawn(small) == drawn(again) == drawn(large)[:120]
    assert torch.equal(small.chosen, again.chosen)
    assert torch.equal(small.chosen, large.chosen[:120])
    for sample in (small, large):
        assert sample.batch.keep_mask is None
        assert sample.chosen.any(1).all()
        assert len(set(drawn(sample))) == len(sample)
        assert set(drawn(sample)) <= beginnings(task.train, sizes.length)
    held_out = sizes.draw(task, task.val, 40, objective)
    assert set(drawn(held_out)) <= beginnings(task.val, sizes.length)
    assert drawn(small) != sorted(drawn(small), key=lambda row: row[2])  # at random, not the first of the file


def test_a_loss_about_other_sequences_has_them_beside_the_sample(tiny_task):
    sizes = Sampling.of(tiny_task, ModelConfig(), TINY_DIAGNOSIS)
    sample = sizes.draw(tiny_task, tiny_task.train, 20, ObjectiveConfig(control="random"))
    own, others = sample.batch.draws.rows, sample.batch.partner.draws.rows
    assert sorted(own.tolist()) == sorted(others.tolist())
    assert (own != others).all()
    assert torch.equal(sample.part(3, 5).batch.partner.x, sample.batch.partner.x[3:5])
    model = tiny_model_of(tiny_task)
    together = sample.losses(model, "reconstruction")
    torch.testing.assert_close(torch.cat([part.losses(model, "reconstruction") for part in sample.chunks(7)]), together)


@pytest.mark.parametrize(("objective", "looked_at"), [("span", "span"), ("causal", "causal"), ("joint", "masked")])
def test_the_reconstruction_is_that_of_self_pretraining_or_of_masked_positions(objective, looked_at):
    assert reconstruction_of(ObjectiveConfig(objective=objective), spec()).name == looked_at


def test_models_are_looked_at_with_training_sequences_and_probes_scored_on_validation(finished):
    subject = Subject(finished, TINY_DIAGNOSIS)
    task, length = subject.task, subject.length
    assert (len(subject.sample), len(subject.large_sample), length) == (20, 40, 8)
    assert drawn(subject.sample) == drawn(subject.large_sample)[:20]
    assert set(drawn(subject.large_sample)) <= beginnings(task.train, length)
    assert sorted(drawn(subject.held_out())) == sorted(beginnings(task.val, length))


def test_ragged_sequences_need_no_flags():
    """Of lengths 1 to 30 neither all nor the longest alone: as many positions in all as possible."""
    lengths = np.arange(240) % 30 + 1
    generator = np.random.default_rng(0)
    splits = [Split(generator.integers(4, size=(n, 30)), lengths[:n], np.arange(n) % 2) for n in (240, 60, 60)]
    codec = Codec(kind="symbols", classes=("a", "b"), length=30, vocabulary=tuple("pqrs"))
    found = Sampling.of(Task("ragged", codec, *splits), ModelConfig(), DiagnoseConfig())
    assert found.length in (15, 16)
    assert found.n_sample == found.n_large == 8 * (31 - found.length)


def test_validation_sequences_shorter_than_the_rest_are_no_obstacle():
    task = ragged_task(n=200)
    task = replace(task, val=task.val.rows(np.flatnonzero(task.val.lengths <= 5)))
    assert Sampling.of(task, ModelConfig(), replace(TINY_DIAGNOSIS, max_lag=1)).length <= 5
    with pytest.raises(SettingError) as caught:
        Sampling.of(task, ModelConfig(), replace(TINY_DIAGNOSIS, max_lag=4))
    assert caught.value.setting == "max_lag"


def test_too_few_or_too_short_sequences_are_refused(tiny_task):
    few = replace(tiny_task, train=tiny_task.train.rows(np.arange(LEAST_SAMPLE - 1)))
    with pytest.raises(RequestError):
        Sampling.of(few, ModelConfig(), DiagnoseConfig())
    short = replace(tiny_task, train=replace(tiny_task.train, lengths=np.full(84, 2)))
    with pytest.raises(RequestError):
        Sampling.of(short, ModelConfig(), DiagnoseConfig(max_lag=1))


def test_longer_and_deeper_means_fewer_sequences(tiny_task, monkeypatch):
    each = 2 * 3 * tiny_task.length**2  # heads, layers
    monkeypatch.setattr(samples, "SAMPLE_SCORES", 20 * each)
    monkeypatch.setattr(samples, "LARGE_SAMPLE_SCORES", 60 * each)

    def sizes(depth, **asked):
        found = Sampling.of(tiny_task, ModelConfig(heads=2, depth=depth), DiagnoseConfig(max_lag=2, **asked))
        return found.n_sample, found.n_large

    assert sizes(3) == (20, 60)
    assert sizes(2) == (30, 84)  # there are no more
    assert sizes(6) == (LEAST_SAMPLE, 30)
    assert sizes(6, sample=40, large_sample=50) == (40, 50)  # as asked for
