"""Patches: tokens that loops make and an unpatched model reads; hidden as one, filled in one by one; leaks."""

import json
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import BATCH, CHANNELS, CLASSES, LENGTH, SYMBOLS, TINY_MODEL, ragged_task, spec, tiny_config, tiny_model
from selfpretrain.classifier import load_model
from selfpretrain.cli import main
from selfpretrain.comparison.request import Request
from selfpretrain.config import ModelConfig
from selfpretrain.data.feed import make_batch
from selfpretrain.data.kinds import InputSpec
from selfpretrain.draws import Draws
from selfpretrain.errors import SettingError
from selfpretrain.model.patch import SymbolPatches, ValuePatches
from selfpretrain.model.ragged import ByLength
from selfpretrain.model.transformer import fresh_model
from selfpretrain.train.flops import block_flops, encoder_flops
from selfpretrain.train.objectives import corrupted, draw_mask, make_objective

POOLINGS = get_args(ModelConfig.__annotations__["pooling"])
LENGTHS = torch.tensor([7, 4, 2])
KEEP = torch.arange(LENGTH) < LENGTHS[:, None]
HIDDEN = torch.tensor([[1, 1, 0, 0, 1, 1, 1], [0, 0, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0]]).bool()
"""Whole patches of two, and one that the sequence's end cuts short."""


def patched(kind, patch, **settings):
    return tiny_model(replace(TINY_MODEL, patch=patch, **settings), kind).eval()


def rows(kind):
    generator = torch.Generator().manual_seed(3)
    if kind == "symbols":
        return torch.randint(SYMBOLS + 1, (BATCH, LENGTH), generator=generator)
    return torch.cat([torch.randn(BATCH, LENGTH, CHANNELS, generator=generator), torch.zeros(BATCH, LENGTH, 1)], -1)


def tokens_by_loops(model, x, length):
    """(P, D) of one sequence in float64: what its layer makes of each patch, filled up with masked positions."""
    patch, table = model.config.patch, model.embedding.weight.double()
    tokens = []
    for start in range(0, length, patch):
        entries = []
        for t in range(start, start + patch):
            if x.dim() == 1:
                entries.append(table[x[t] if t < length else SYMBOLS + 1])
            else:
                entries.append(x[t].double() if t < length else torch.tensor([0.0] * CHANNELS + [1.0]).double())
        side_by_side = torch.cat(entries)
        tokens.append(side_by_side if x.dim() == 1 else table @ side_by_side + model.embedding.bias.double())
    return torch.stack(tokens)


def reading_tokens(model, longest):
    """The same model without patches, on values that it embeds as they are."""
    width = model.config.width
    inputs = InputSpec(kind="values", symbols=0, channels=width - 1, length=longest, classes=CLASSES)
    unpatched = fresh_model(replace(model.config, patch=1), inputs, seed=1)
    own = {name: w for name, w in model.state_dict().items() if not name.startswith(("embedding", "reconstruction"))}
    unpatched.load_state_dict(own, strict=False)
    with torch.no_grad():
        unpatched.embedding.weight.copy_(torch.eye(width))
        unpatched.embedding.bias.zero_()
    return unpatched.double().eval()


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("patch", [2, 3, 7])
@pytest.mark.parametrize("kind", ["symbols", "values"])
def test_a_patched_model_is_one_of_tokens_that_loops_made(kind, patch, pooling):
    if kind == "symbols" and TINY_MODEL.width % patch:
        patch = 4
    model, x = patched(kind, patch, pooling=pooling, positions="learned"), rows(kind)
    reference = reading_tokens(model, -(-LENGTH // patch))
    outputs = model(x, KEEP, HIDDEN & KEEP)
    predictions, head = iter(outputs.predictions), model.reconstruction_head
    for row in range(BATCH):
        tokens = tokens_by_loops(model, x[row], int(LENGTHS[row]))[None]
        logits = reference(tokens, None).logits[0]
        torch.testing.assert_close(outputs.logits[row].double(), logits, atol=1e-5, rtol=1e-4)
        states = reference.encode(tokens, None)[0, int(pooling == "cls") :]
        for t in (HIDDEN & KEEP)[row].nonzero()[:, 0].tolist():
            every = head.weight.double() @ states[t // patch] + head.bias.double()
            size = len(every) // patch
            expected = every[t % patch * size : (t % patch + 1) * size]
            torch.testing.assert_close(next(predictions).double(), expected, atol=1e-5, rtol=1e-4)
    assert next(predictions, None) is None


def test_with_patches_of_one_every_layer_is_torchs():
    x, v = rows("symbols"), rows("values")
    symbols, values = SymbolPatches(SYMBOLS + 2, 12, 1), ValuePatches(CHANNELS + 1, 12, 1)
    assert torch.equal(symbols(x), torch.nn.functional.embedding(x, symbols.weight))
    assert torch.equal(values(v), torch.nn.functional.linear(v, values.weight, values.bias))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", ["symbols", "values"])
def test_what_is_asked_for_alone_is_what_all_gives(kind, attention):
    model, x = patched(kind, 2, attention=attention), rows(kind)
    alone = model(x, KEEP, HIDDEN & KEEP, labels=False).predictions
    torch.testing.assert_close(alone, model(x, KEEP, HIDDEN & KEEP).predictions)


@pytest.mark.parametrize("kind", ["symbols", "values"])
def test_padding_is_read_by_nobody(kind):
    model, x = patched(kind, 3 if kind == "values" else 4), rows(kind)
    other = rows(kind).flip(0)
    changed = torch.where(KEEP if x.dim() == 2 else KEEP[..., None], x, other)
    torch.testing.assert_close(model(x, KEEP, HIDDEN & KEEP), model(changed, KEEP, HIDDEN & KEEP), rtol=0, atol=0)
    for row, length in enumerate(LENGTHS.tolist()):  # and a batch changes nothing but rounding
        logits = model(x[row : row + 1, :length], None).logits[0]
        torch.testing.assert_close(logits, model(x, KEEP).logits[row], atol=1e-6, rtol=1e-5)
    by_length = ByLength(model)(x, KEEP, HIDDEN & KEEP)
    torch.testing.assert_close(by_length, model(x, KEEP, HIDDEN & KEEP), atol=1e-6, rtol=1e-5)


@given(
    patch=st.integers(1, 5),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    span=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_a_patch_is_hidden_as_a_whole_and_no_sequence_is_without(patch, lengths, span, seed):
    keep = torch.arange(9) < torch.tensor(lengths)[:, None]
    keys = Draws(seed, 0, torch.arange(len(lengths))).keys("masks")
    mask = draw_mask(keys, keep, 9, 0.5, span, patch)
    for row, length in enumerate(lengths):
        parts = [mask[row, start : min(start + patch, length)] for start in range(0, length, patch)]
        assert all(part.all() or not part.any() for part in parts)
        assert any(part.all() for part in parts)
        assert not mask[row, length:].any()
    tokens = torch.arange(-(-9 // patch)) < -(-torch.tensor(lengths)[:, None] // patch)
    of_tokens = draw_mask(keys, tokens, tokens.shape[1], 0.5, span)
    assert mask[:, ::patch].equal(of_tokens)  # drawn as positions are


@pytest.mark.parametrize("kind", ["symbols", "values"])
@pytest.mark.parametrize("name", ["masked", "span", "causal"])
def test_every_hidden_entry_is_predicted_and_none_is_seen(kind, name):
    """The loss of a patch does not depend on its own entries but as its target; of causal: not on later ones."""
    task = ragged_task(kind)
    config = tiny_config(objective=replace(tiny_config().objective, objective=name), model=ModelConfig(patch=2))
    inputs = replace(task.inputs, patch=2)
    training = Request(config, task).pretraining(0, 0.01)
    objective, batch = make_objective(name, training.settings, inputs), make_batch(task.train, torch.device("cpu"))
    model = fresh_model(training.model, task.inputs, 0).eval()
    chosen = objective.choose(batch, batch.draws.keys("masks"))
    seen = objective.view(batch.x, chosen)
    whole = model(seen, batch.keep_mask, chosen, labels=False).predictions
    targets = objective.targets(batch.x)
    assert len(whole) == int(chosen.sum())
    at = {tuple(place): i for i, place in enumerate(chosen.nonzero().tolist())}
    for row in range(4):
        length = int(batch.lengths[row])
        for start in range(0, length, 2):
            changed = batch.x.clone()
            if name == "causal":  # everything after this patch becomes something else
                changed[row, start + 2 : length] = changed[row, start + 2 : length].flip(0) + 1
            elif chosen[row, start]:
                changed[row, start : min(start + 2, length)] += 1
            again = model(objective.view(changed.clamp(max=4), chosen), batch.keep_mask, chosen, labels=False)
            for t in range(start, min(start + 2, length)):
                if (row, t) in at:
                    assert torch.equal(whole[at[row, t]], again.predictions[at[row, t]])
                    wanted = batch.x[row, t + 2] if name == "causal" else batch.x[row, t]
                    assert torch.equal(targets[row, t], wanted)
    if name == "causal":
        assert chosen.equal(torch.nn.functional.pad(batch.real[:, 2:], (0, 2)))


def test_joint_corruption_replaces_whole_patches():
    batch = make_batch(ragged_task().train, torch.device("cpu"))
    shown, masked = corrupted(batch, 2)
    for row, length in enumerate(batch.lengths.tolist()):
        for start in range(0, length, 2):
            part = masked[row, start : min(start + 2, length)]
            assert part.all() or not part.any()
    assert ((shown != batch.x) & masked).sum() == 0  # what is masked is shown as it was, and hidden later


def test_operations_by_hand():
    """Eight positions in patches of three are three tokens; values are embedded one by one all the same."""
    config = ModelConfig(width=12, heads=3, depth=1, patch=3)
    inputs = replace(spec("values"), length=8)
    embedded = 8 * 2 * (CHANNELS + 1) * 12
    blocks = int(block_flops(np.array(3), 12, 24))
    assert encoder_flops(config, inputs, np.array([8])) == embedded + blocks


@pytest.mark.parametrize(
    ("kind", "patch", "says"),
    [
        ("symbols", 5, "patch 5 does not divide the width 8, which its symbols share"),
        ("values", 8, "patch 8 is longer than every sequence; give 7 or less"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(kind, patch, says):
    config = tiny_config(model=ModelConfig(width=8, heads=2, patch=patch))
    with pytest.raises(SettingError) as refused:
        Request.of(ragged_task(kind), config)
    assert says in str(refused.value).replace("--", "")


def test_patches_go_from_the_command_to_a_model_in_use(tmp_path, monkeypatch):
    """Compared, diagnosed, kept as best and used on raw rows; the lags of a diagnosis are patches."""
    generator = np.random.default_rng(0)
    lines = ["sequence,label"]
    for row in range(120):
        series = generator.normal(size=21) + 2 * (row % 2)
        lines.append(f"{' '.join(f'{v:.3f}' for v in series)},{'ab'[row % 2]}")
    (tmp_path / "waves.csv").write_text("\n".join(lines) + "\n")
    training = ["--pretrain.duration", "6", "--label.duration", "40", "--lr", "0.01", "--seeds", "3", "--workers", "1"]
    model = ["--width", "8", "--heads", "2", "--depth", "1", "--patch", "4"]

    monkeypatch.chdir(tmp_path)
    assert main(["compare", "waves.csv", "--out", "runs/w", "--arms", "scratch,spt", *training, *model]) == 0
    best = load_model(tmp_path / "runs" / "w")
    assert best.model.config.patch == 4
    assert best.model.inputs.tokens == 6
    assert main(["predict", "runs/w", "waves.csv", "--out", "scored.csv"]) == 0
    assert len((tmp_path / "scored.csv").read_text().splitlines()) == 121
    sections = ["--sections", "attention,gradients,landscape,representation", "--max-lag", "2"]
    assert main(["diagnose", "runs/w", "--workers", "1", *sections]) == 0
    protocol = json.loads((tmp_path / "runs/w/diagnosis/conclusion.json").read_text())["protocol"]
    assert (protocol["sample_length"], protocol["positions_of_a_token"]) == (5, 4)  # 21 positions: five whole patches
    assert "4 neighbouring positions of the sequence" in " ".join((tmp_path / "runs/w/report.html").read_text().split())
