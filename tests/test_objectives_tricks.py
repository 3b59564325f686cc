"""Tricks of label training, controls of self-pretraining, and both joint recipes, against slow references."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from conftest import TINY_MODEL, ragged_task, tiny_model
from selfpretrain.config import ObjectiveConfig
from selfpretrain.draws import permutation
from selfpretrain.feed import Feed
from selfpretrain.objectives.corrupted import CHOSEN, REPLACED, CorruptedObjective, corrupted
from selfpretrain.objectives.cutmix import CutMixObjective, cut_and_mixed
from selfpretrain.objectives.labels import LabelObjective, class_logits
from selfpretrain.objectives.masked_labels import HIDDEN, MaskedLabelObjective
from selfpretrain.objectives.masking import draw_mask
from selfpretrain.objectives.reconstruction import ReconstructionObjective, controlled
from selfpretrain.objectives.reference import lowest_loss
from selfpretrain.objectives.smoothing import SMOOTHING, SmoothedObjective
from selfpretrain.tasks.load import load_task

KINDS = ["symbols", "values"]


def batch_of(kind, step=0, size=16, n=60):
    return Feed(ragged_task(kind, n), "label", seed=1, batch_size=size, device=torch.device("cpu")).batch(step)


def lengths_of(batch):
    return batch.keep_mask.sum(1).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_cutmix_takes_one_stretch_of_the_next_sequence_and_its_share_of_the_label(kind):
    """Position by position, and the label of each row from the count of its foreign positions."""
    batch = batch_of(kind)
    # Rows that can be told apart: each holds its own number.
    names = torch.arange(len(batch.y), dtype=batch.x.dtype) + 1
    x = names.view(-1, *[1] * (batch.x.ndim - 1)).expand(batch.x.shape).clone()
    mixed, labels = cut_and_mixed(replace(batch, x=x), 3)
    torch.testing.assert_close(labels.sum(1), torch.ones(len(labels)))
    sizes = set()
    for row, length in enumerate(lengths_of(batch)):
        partner = (row + 1) % len(x)
        entries = mixed.x[row] if kind == "symbols" else mixed.x[row, :, 0]
        foreign = [t for t in range(x.shape[1]) if entries[t] == names[partner]]
        assert all(entries[t] in (names[row], names[partner]) for t in range(x.shape[1]))
        assert foreign == list(range(foreign[0], foreign[-1] + 1)) if foreign else True
        assert all(t < min(length, lengths_of(batch)[partner]) for t in foreign)
        share = len(foreign) / length
        expected = torch.zeros(3)
        expected[batch.y[row]] += 1 - share
        expected[batch.y[partner]] += share
        torch.testing.assert_close(labels[row], expected)
        sizes.add(len(foreign))
    assert len(sizes) > 2


def test_every_length_of_a_stretch_is_alike_likely():
    """Of sequences of 7 positions the stretch has 0 to 7 of them; chi-square of 3,000 draws."""
    from scipy.stats import chisquare

    counts = np.zeros(8)
    for step in range(200):
        batch = batch_of("symbols", step)
        full = replace(batch, keep_mask=None, x=torch.arange(16)[:, None].expand(16, 7).clone())
        mixed, _ = cut_and_mixed(full, 3)
        counts += np.bincount((mixed.x != full.x).sum(1).numpy(), minlength=8)
    assert chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_losses_of_tricks_are_those_of_their_formulas(kind):
    batch, model = batch_of(kind), tiny_model(kind=kind).eval()
    logits = class_logits(model, batch, model.inputs).double()
    plain = -torch.log_softmax(logits, 1)[torch.arange(16), batch.y].mean()
    uniform = -torch.log_softmax(logits, 1).mean(1).mean()
    expected = (1 - SMOOTHING) * plain + SMOOTHING * uniform
    assert SmoothedObjective(model.inputs).loss(model, batch).item() == pytest.approx(expected.item(), rel=1e-5)
    mixed, labels = cut_and_mixed(batch, 3)
    log_p = torch.log_softmax(class_logits(model, mixed, model.inputs).double(), 1)
    by_hand = -(labels * log_p).sum(1).mean().item()
    assert CutMixObjective(model.inputs).loss(model, batch).item() == pytest.approx(by_hand, rel=1e-5)
    hidden = draw_mask(batch.draws.keys("label-masks"), batch.keep_mask, batch.x.shape[1], HIDDEN)
    masked = F.cross_entropy(class_logits(model, batch, model.inputs, hidden), batch.y).item()
    assert MaskedLabelObjective(model.inputs).loss(model, batch).item() == pytest.approx(masked, rel=1e-6)
    assert masked != pytest.approx(plain.item())


@pytest.mark.parametrize("objective", [CutMixObjective, SmoothedObjective, MaskedLabelObjective])
def test_tricks_are_judged_by_clean_labels(objective):
    task, model = ragged_task(), tiny_model().eval()
    feed = Feed(task, "label", seed=0, batch_size=8, device=torch.device("cpu"))
    assert objective(model.inputs).validate(model, feed) == LabelObjective(model.inputs).validate(model, feed)


# Joint, from one corrupted sequence.


@pytest.mark.parametrize("kind", KINDS)
def test_a_third_of_the_chosen_show_what_stands_elsewhere_and_the_rest_are_masked(kind):
    chosen, replaced, real = 0, 0, 0
    for step in range(120):
        batch = batch_of(kind, step, size=30)
        shown, masked = corrupted(batch)
        keep = batch.keep_mask
        changed = shown != batch.x if kind == "symbols" else (shown != batch.x).any(-1)
        assert not (changed & masked).any()  # one or the other
        assert not (masked & ~keep).any() and not (changed & ~keep).any()
        for row in (changed & keep).nonzero()[:, 0].unique().tolist():
            own = batch.x[row][keep[row]].reshape(-1).tolist()
            assert set(shown[row][keep[row]].reshape(-1).tolist()) <= set(own)
        chosen, real = chosen + masked.sum(), real + keep.sum()
        replaced = replaced + changed.sum()
    share = chosen.item() / real.item()
    # Every sequence has a choice at least, so short ones raise it; replacements may show the same symbol.
    assert CHOSEN * (1 - REPLACED) * 0.95 < share < CHOSEN * (1 - REPLACED) * 1.25
    if kind == "values":
        assert replaced.item() / chosen.item() == pytest.approx(REPLACED / (1 - REPLACED), rel=0.35)


@pytest.mark.parametrize("kind", KINDS)
def test_the_corrupted_loss_is_that_of_the_label_and_of_every_real_position(kind):
    batch, model = batch_of(kind), tiny_model(kind=kind).eval()
    shown, masked = corrupted(batch)
    view = replace(batch, x=shown)
    label = F.cross_entropy(class_logits(model, view, model.inputs, masked), batch.y)
    entries = []
    from selfpretrain.kinds import KINDS as OF

    seen = OF[kind].hide(shown, masked, model.inputs)
    for row, length in enumerate(lengths_of(batch)):  # sequence by sequence, without padding
        every = torch.ones(1, length, dtype=torch.bool)
        predicted = model(seen[row : row + 1, :length], None, every)
        truth = batch.x[row, :length]
        each = F.cross_entropy(predicted, truth, reduction="none") if kind == "symbols" else (predicted - truth).abs()
        entries.append(each.flatten())
    expected = (label + torch.cat(entries).mean()).item()
    assert CorruptedObjective(ObjectiveConfig(), model.inputs).loss(model, batch).item() == pytest.approx(
        expected, rel=1e-4
    )


def test_both_heads_from_one_pass_are_what_each_gives_alone():
    batch, model = batch_of("symbols"), tiny_model(replace(TINY_MODEL, pooling="cls")).eval()
    logits, predictions = model(batch.x, batch.keep_mask, batch.keep_mask, both=True)
    torch.testing.assert_close(logits, model(batch.x, batch.keep_mask))
    torch.testing.assert_close(predictions, model(batch.x, batch.keep_mask, batch.keep_mask))


# Controls.


def test_a_permutation_is_one_of_the_real_positions_and_every_order_is_alike_likely():
    from scipy.stats import chisquare

    keys = torch.randint(-(2**62), 2**62, (6000,), generator=torch.Generator().manual_seed(0))
    orders = permutation(keys, 3)
    assert (orders.sort(1).values == torch.arange(3)).all()
    _, counts = np.unique(orders.numpy(), axis=0, return_counts=True)
    assert len(counts) == 6 and chisquare(counts).pvalue > 1e-3
    keep = torch.arange(5) < torch.tensor([[2], [5]])
    assert permutation(keys[:2], 5, keep)[0, 2:].tolist() == [2, 3, 4]


@pytest.mark.parametrize("kind", KINDS)
def test_shuffled_sequences_keep_what_they_hold_and_their_order_in_every_epoch(kind):
    batch = batch_of(kind)
    seen, asked = controlled(batch, ObjectiveConfig(control="shuffled"))
    assert seen is asked
    assert not torch.equal(seen, batch.x)
    for row, length in enumerate(lengths_of(batch)):
        assert sorted(seen[row, :length].tolist()) == sorted(batch.x[row, :length].tolist())
    later = replace(batch, draws=replace(batch.draws, step=7))
    assert torch.equal(controlled(later, ObjectiveConfig(control="shuffled"))[0], seen)


@pytest.mark.parametrize("kind", KINDS)
def test_random_targets_are_those_of_another_sequence(kind):
    batch = batch_of(kind)
    seen, asked = controlled(batch, ObjectiveConfig(control="random"))
    assert seen is batch.x
    lengths = lengths_of(batch)
    for row, length in enumerate(lengths):
        other = (row + 1) % len(lengths)
        for t in range(length):
            assert torch.equal(asked[row, t], batch.x[other, t % lengths[other]])


def test_a_control_teaches_nothing_that_context_could_tell():
    """The law of the chain, which knows every neighbour, is of no use for either control."""
    task = load_task("proximity", sequences=300)
    feed = Feed(task, "pretrain", seed=0, batch_size=16, device=torch.device("cpu"))
    for control in ("shuffled", "random"):
        assert lowest_loss(ObjectiveConfig(control=control), task.inputs, feed, task.posterior) is None
    plain, random = (ReconstructionObjective(ObjectiveConfig(control=c), task.inputs) for c in ("none", "random"))

    class Peeks(torch.nn.Module):
        def forward(self, x, keep_mask, chosen, keys=None):
            return 9.0 * F.one_hot(self.truth[chosen], task.inputs.symbols + 1).float()

    batch, model = feed.batch(0), Peeks()
    model.truth = batch.x
    assert plain.loss(model, batch) < 0.01 < 2.0 < random.loss(model, batch)
