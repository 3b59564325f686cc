"""The loop: golden curves, the optimiser against another, resuming bit for bit, what it refuses."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import TINY_MODEL, ragged_task, tiny_model, tiny_training
from selfpretrain.config import ModelConfig, PhaseConfig, TrainConfig
from selfpretrain.data.feed import make_batch
from selfpretrain.data.load import load_task
from selfpretrain.errors import Interrupted, NonFiniteError
from selfpretrain.model.groups import freeze, group_of
from selfpretrain.model.ragged import ByLength
from selfpretrain.model.transformer import fresh_model
from selfpretrain.streams import batch_indices
from selfpretrain.train.loop import TrainState, make_optimizers, train, update_ratios
from selfpretrain.train.objectives import Labels
from selfpretrain.train.phase import PhasePlan
from selfpretrain.train.work import prepared

GOLDEN = Path(__file__).parent / "golden"


class Memory:
    """A recorder that keeps everything, and stops where it is told to."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.rows, self.checkpoints, self.losses, self.stop_at = [], [], [], stop_at
        self.snapshots, self.longer = {}, None

    def checkpoint_due(self):
        return False

    def checkpoint(self, step, tensors, meta):
        copied = {name: tensor.clone() for name, tensor in tensors.items()}
        self.checkpoints.append((copied, {**meta, "losses": list(meta["losses"])}))

    def snapshot(self, step, weights):
        self.snapshots[step] = {name: weight.clone() for name, weight in weights.items()}

    def progress(self, step, total, metrics):
        self.losses.append(metrics["loss"])

    def stop_requested(self):
        return self.stop_at is not None and len(self.losses) >= self.stop_at


def training_of(task, phase="label", *, model=TINY_MODEL, seed=0, lr=1e-2, clip=1.0, precision="float32", **durations):
    """Twelve steps of a phase, unless something else is said."""
    config = PhaseConfig(**({"duration": "12", "batch_size": 16, "evaluate_every": "4steps"} | durations))
    train = TrainConfig(lr=(lr,), clip=clip, precision=precision)
    spt = tiny_training(task, "spt", seed=seed, lr=lr, model=model, pretrain=config, label=config, train=train)
    return spt.source if phase == "pretrain" else replace(spt, start=None)


def model_of(task, config=TINY_MODEL, seed=0):
    return fresh_model(config, task.inputs, seed)


def run(
    task,
    phase="label",
    *,
    objective=None,
    model=None,
    config=TINY_MODEL,
    recorder=None,
    resume=None,
    snapshots=0,
    device=None,
    forward=None,
    **how,
):
    """Train; gives the model, what was recorded, and the state."""
    training = training_of(task, phase, model=config, **how)
    if device is not None:
        training = replace(training, device=device.type)
    own, usual, feed, _ = prepared(training, task)
    model, recorder = (model or own).to(training.device), recorder or Memory()
    state = train(
        model,
        objective or usual,
        feed,
        training,
        recorder=recorder,
        forward=forward and forward(model),
        snapshots=snapshots,
        resume=resume,
    )
    return model, recorder, state


def same(a, b):
    return all(torch.equal(weight, b.state_dict()[name]) for name, weight in a.state_dict().items())


@pytest.mark.parametrize("phase", ["pretrain", "label"])
def test_golden_loss_curve(phase):
    """Fifty steps of the minimal model; a change that means to keep behaviour keeps these numbers.

    To renew: delete the file, run once, and say why in the changelog.
    """
    task = load_task("proximity", symbols=4, length=16, sequences=200)
    _, recorder, _ = run(task, phase, model=model_of(task, ModelConfig()), duration="50", lr=3e-3)
    path = GOLDEN / f"{phase}.txt"
    if not path.exists():
        path.write_text("".join(f"{step} {loss:.6f}\n" for step, loss in enumerate(recorder.losses, 1)))
        pytest.fail(f"{path} was missing and has been written; look at it and run again")
    golden = np.loadtxt(path)
    assert golden[:, 0].tolist() == list(range(1, 51))
    np.testing.assert_allclose(recorder.losses, golden[:, 1], rtol=1e-4)


@pytest.mark.parametrize("kind", ["symbols", "values"])
def test_the_same_seed_twice_is_bit_equal_and_another_is_not(kind, device):
    task = ragged_task(kind)
    first, again, other = (run(task, "pretrain", seed=seed, device=device)[1].losses for seed in (0, 0, 1))
    assert first == again != other


@settings(max_examples=12, deadline=None)
@given(
    stop=st.integers(0, 11),
    phase=st.sampled_from(["pretrain", "label"]),
    dropout=st.sampled_from([0.0, 0.2]),
    optimizer=st.sampled_from(["adamw", "sgd", "muon"]),
)
def test_a_stopped_training_goes_on_with_the_same_numbers(stop, phase, dropout, optimizer):
    task, config = ragged_task(), replace(TINY_MODEL, dropout=dropout)

    def go(model, **more):
        training = training_of(task, phase, model=config, schedule="cosine", optimizer=optimizer, weight_decay=0.1)
        _, objective, feed, _ = prepared(training, task)
        return train(model, objective, feed, training, **more)

    whole, memory = model_of(task, config), Memory()
    state = go(whole, recorder=memory)
    stopped = Memory(stop_at=stop)
    with pytest.raises(Interrupted):
        go(model_of(task, config), recorder=stopped)
    torch.manual_seed(999)  # whatever the process did in between
    fresh, rest = model_of(task, config, seed=5), Memory()
    resumed = go(fresh, recorder=rest, resume=stopped.checkpoints[-1])
    assert stopped.losses + rest.losses == memory.losses
    assert same(fresh, whole)
    assert (resumed.best_step, resumed.best_score) == (state.best_step, state.best_score)
    without_time = [{k: v for k, v in row.items() if k != "wall_seconds"} for row in stopped.rows + rest.rows]
    assert without_time == [{k: v for k, v in row.items() if k != "wall_seconds"} for row in memory.rows]


@pytest.mark.whole
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("phase", [pytest.param("pretrain", marks=pytest.mark.slow), "label"])  # traced in a minute
def test_the_model_that_training_runs_can_be_compiled(phase, monkeypatch):
    """As it is called in training, by groups of rows with dropout: the same numbers, bit for bit."""
    monkeypatch.setattr("selfpretrain.model.ragged.GROUP_POSITIONS", 0)
    task, config = ragged_task(), replace(TINY_MODEL, dropout=0.2, depth=1)
    torch._dynamo.reset()

    def traced(model):
        return ByLength(torch.compile(model, backend="eager", dynamic=True))

    (plain, ours, _), (other, theirs, _) = (
        run(task, phase, config=config, forward=forward, duration="2steps") for forward in (ByLength, traced)
    )
    assert torch._dynamo.utils.counters["frames"]["ok"] > 0  # it was compiled
    assert theirs.losses == ours.losses
    assert same(other, plain)
    torch._dynamo.reset()


def test_a_step_equals_adamw_written_out():
    """Two steps with decay and clipping, against the update rule in float64."""
    task = ragged_task()
    how = {"lr": 0.01, "clip": 0.05, "weight_decay": 0.1, "warmup": "0", "evaluate_every": "2steps"}
    model, objective = model_of(task).double(), Labels(inputs=task.inputs)
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    decays = {n for n, p in weights.items() if p.ndim == 2 and not n.startswith(("embedding", "positions"))}
    shadow, moments = model_of(task).double(), {}
    for step in (1, 2):
        shadow.load_state_dict(weights)
        shadow.zero_grad()
        index = batch_indices(0, "label-batches", step - 1, 16, len(task.train))
        objective.loss(shadow, make_batch(task.train.rows(index), torch.device("cpu"))).backward()
        grads = {n: p.grad for n, p in shadow.named_parameters() if p.grad is not None}
        norm = math.sqrt(sum(float(g.square().sum()) for g in grads.values()))
        for name, grad in grads.items():
            g = grad * min(1.0, 0.05 / (norm + 1e-6))
            m, v = moments.get(name, (torch.zeros_like(g), torch.zeros_like(g)))
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            moments[name] = m, v
            w = weights[name] * (1 - 0.01 * 0.1 * (name in decays))
            weights[name] = w - 0.01 * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
    with pytest.raises(Interrupted):  # before the best weights are restored
        run(task, model=model, recorder=Memory(stop_at=2), **how)
    assert decays
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), weights[name], rtol=1e-9, atol=1e-12)


@dataclass(frozen=True, kw_only=True)
class Scripted(Labels):
    """Validation scores from a list."""

    scores: list[float]

    def validate(self, model, feed):
        return {"val_acc": self.scores.pop(0), "val_loss": 1.0, "train_sample_acc": 0.5}


def test_the_best_weights_come_back_and_patience_stops():
    task = ragged_task()
    objective = Scripted(inputs=task.inputs, scores=[0.2, 0.9, 0.3, 0.4, 0.95])
    kept = Memory()
    model, _, state = run(task, objective=objective, duration="20", patience=2, recorder=kept, warmup="0")
    assert (state.best_step, state.step, len(kept.rows)) == (8, 16, 4)
    objective = Scripted(inputs=task.inputs, scores=[0.2, 0.9])
    short, _, _ = run(task, objective=objective, duration="8", warmup="0")
    assert same(model, short)


def test_it_overfits_one_batch(device):
    task = ragged_task()
    task = replace(task, train=task.train.rows(np.arange(12)))
    model, _, _ = run(task, duration="150", evaluate_every="150steps", device=device)
    batch = make_batch(task.train, device)
    assert (model(batch.x, batch.keep_mask).logits.argmax(1) == batch.y).double().mean() == 1.0


@pytest.mark.parametrize("where", ["loss", "gradient norm", "val_loss"])
def test_what_stops_being_finite_is_named_with_its_step(where):
    task = ragged_task()

    class Breaking(Labels):
        def loss(self, model, batch):
            loss = super().loss(model, batch)
            if batch.draws.step == 2 and where == "loss":
                return loss * math.inf
            if batch.draws.step == 2 and where == "gradient norm":
                return loss + (model.final_norm.weight[0] - model.final_norm.weight[0].detach()).abs().sqrt()
            return loss

        def validate(self, model, feed):
            return super().validate(model, feed) | ({"val_loss": math.nan} if where == "val_loss" else {})

    with pytest.raises(NonFiniteError) as caught:
        run(task, objective=Breaking(inputs=task.inputs))
    assert caught.value.quantity == where
    assert caught.value.step == (4 if where == "val_loss" else 3)
    assert "of label training" in str(caught.value)


def test_losses_that_are_fetched_late_are_those_of_their_steps():
    """On an accelerator nobody waits for a loss at every step; what is not finite is named with its step as well."""
    state = TrainState([], step=7, losses=[0.5])
    state.pending = [(torch.tensor(value), torch.tensor(1.0)) for value in (0.25, 0.125)]
    state.settle("label")
    assert (state.losses, state.pending) == ([0.5, 0.25, 0.125], [])
    for quantity, wrong in (("loss", (math.nan, math.nan)), ("gradient norm", (1.0, math.inf))):
        fine = (torch.tensor(1.0), torch.tensor(1.0))
        state.pending = [fine, tuple(map(torch.tensor, wrong)), fine]
        with pytest.raises(NonFiniteError) as caught:
            state.settle("label")
        assert (caught.value.quantity, caught.value.step) == (quantity, 6)


def test_bfloat16_trains_and_keeps_weights_in_float32():
    task = ragged_task()
    model, recorder, _ = run(task, precision="bfloat16")
    _, exact, _ = run(task)
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert recorder.losses != exact.losses
    np.testing.assert_allclose(recorder.losses, exact.losses, rtol=0.05)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_callers_random_state_is_left_alone(dropout):
    task, config = ragged_task(), replace(TINY_MODEL, dropout=dropout)
    model = model_of(task, config)
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    run(task, model=model, config=config, duration="3")
    assert torch.equal(torch.rand(3), expected)


def test_snapshots_are_the_weights_after_their_step():
    task = ragged_task()
    _, recorder, _ = run(task, duration="6", snapshots=3)
    assert list(recorder.snapshots) == [2, 4, 6]
    shorter, _, _ = run(task, duration="4", evaluate_every="100steps", warmup="0steps")
    longer, kept, _ = run(task, duration="8", evaluate_every="100steps", warmup="0steps", snapshots=2)
    assert all(torch.equal(weight, kept.snapshots[4][name]) for name, weight in shorter.state_dict().items())
    assert not same(shorter, longer)


def test_the_first_step_of_adam_moves_every_group_by_its_rate():
    """Adam's first step is lr in every entry with a gradient: ||dW|| / ||W|| = lr sqrt(P) / ||W||."""
    task = ragged_task("values")  # every weight of a values model gets a gradient
    before = {name: weight.detach().clone() for name, weight in model_of(task).named_parameters()}
    _, recorder, _ = run(task, duration="1", lr=1e-3, warmup="0steps", weight_decay=0.3)
    ratios = recorder.rows[0]["update_ratio"]
    for group in ("value-output", "feedforward"):
        weights = [weight for name, weight in before.items() if group_of(name) == group]
        size = math.sqrt(sum(float(weight.square().sum()) for weight in weights))
        entries = sum(weight.numel() for weight in weights)
        assert ratios[group] == pytest.approx(1e-3 * math.sqrt(entries) / size, rel=0.01)  # but for Adam's epsilon
    assert "head" in ratios


def test_plain_descent_moves_by_rate_times_gradient_and_decay_is_taken_out():
    model = torch.nn.Module()
    model.query = torch.nn.Linear(3, 2, bias=False)
    before = {"query.weight": model.query.weight.detach().clone()}
    model.query.weight.grad = torch.arange(6.0).reshape(2, 3)
    optimizer = torch.optim.SGD([{"params": [model.query.weight], "lr": 0.1, "weight_decay": 0.5}])
    optimizer.step()
    expected = 0.1 * float(torch.arange(6.0).norm() / before["query.weight"].norm())
    assert update_ratios(before, model, optimizer.param_groups)["query-key"] == pytest.approx(expected, rel=1e-5)


def test_frozen_weights_neither_learn_nor_decay():
    task, frozen = ragged_task(), ("embedding", "query-key")
    model = model_of(task)
    start = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    freeze(model, frozen)
    # 12 steps at a high rate with decay, and the selected weights are not those of the start.
    _, recorder, _ = run(task, model=model, lr=1e-2, weight_decay=0.5, snapshots=1)
    end = recorder.snapshots[12]
    for name, weight in start.items():
        if group_of(name) in frozen:
            assert torch.equal(end[name], weight), name
        elif not name.startswith("reconstruction"):
            assert not torch.equal(end[name], weight), name


@pytest.mark.parametrize("phase", ["pretrain", "label"])
def test_the_order_within_a_batch_changes_nothing_beyond_rounding(phase, monkeypatch):
    """Sorted by length, as a faster feed would have them: masks and dropout belong to rows, not to places."""
    task, config = ragged_task(), replace(TINY_MODEL, dropout=0.2)
    _, recorder, _ = run(task, phase, config=config)
    real = batch_indices

    def by_length(*arguments):
        index = real(*arguments)
        return index[np.argsort(task.train.lengths[index], kind="stable")]

    monkeypatch.setattr("selfpretrain.data.feed.batch_indices", by_length)
    _, other, _ = run(task, phase, config=config)
    np.testing.assert_allclose(other.losses, recorder.losses, rtol=1e-4)


# Optimisers.


def test_muon_moves_the_matrices_of_the_blocks_and_adamw_the_rest_and_neither_what_is_frozen():
    model = tiny_model()
    freeze(model, ("feedforward",))
    plan = PhasePlan(phase="label", steps=3, batch_size=1, lr=0.1, evaluate_every=1, optimizer="muon")
    muon, adamw = make_optimizers(model, plan)
    names = {parameter: name for name, parameter in model.named_parameters()}
    moved = [{names[p] for group in each.param_groups for p in group["params"]} for each in (muon, adamw)]
    assert moved[0] == {n for n in names.values() if "attention." in n and n.endswith("weight")}
    assert moved[0] | moved[1] == {
        n for n in names.values() if "feedforward_in" not in n and "feedforward_out" not in n
    }
    assert not moved[0] & moved[1]


def test_muon_s_first_step_is_orthogonal_and_of_adam_s_size():
    """Newton-Schulz brings singular values near 1; scaled by .2 sqrt(D), an entry moves by about .2 lr."""
    model = tiny_model(replace(TINY_MODEL, width=48))
    weight = model.blocks[0].attention.value.weight
    plan = PhasePlan(phase="label", steps=3, batch_size=1, lr=0.01, evaluate_every=1, optimizer="muon")
    muon, _ = make_optimizers(model, plan)
    before = weight.detach().clone()
    weight.grad = torch.randn(48, 48, generator=torch.Generator().manual_seed(0))
    muon.step()
    change = (weight.detach() - before).double() / (0.01 * 0.2 * 48**0.5)
    singular = torch.linalg.svdvals(change)
    assert 0.5 < singular.median() < 1.3 and singular.max() < 1.4
