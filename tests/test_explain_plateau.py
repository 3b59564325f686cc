"""Whether a training is stuck or on its way: formulas against loops, and the right weights, layers and positions."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import TINY_DIAGNOSIS
from selfpretrain.config import ModelConfig
from selfpretrain.diagnostics.attention import pattern_mass_relative, top_pattern
from selfpretrain.diagnostics.representation import position_cosine
from stand_in import measured, numbers, stand_in

HEADS, WIDTH, MAX_LAG = 2, 12, 1
CONFIG = replace(TINY_DIAGNOSIS, max_lag=MAX_LAG)


def test_the_cosine_of_positions_is_the_mean_over_pairs():
    states = torch.randn(3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for b in range(3):
        pairs = [
            float(states[b, i] @ states[b, j] / states[b, i].norm() / states[b, j].norm())
            for i in range(5)
            for j in range(5)
            if i != j
        ]
        assert position_cosine(states)[b].item() == pytest.approx(np.mean(pairs))
    assert position_cosine(torch.ones(4, 3)).item() == pytest.approx(1.0)


def test_mass_on_a_pattern_is_counted_query_by_query():
    attn = torch.rand(2, 6, 6, generator=torch.Generator().manual_seed(1)).softmax(-1)
    other = torch.rand(2, 6, 6, generator=torch.Generator().manual_seed(2))
    pattern = top_pattern(other, 2)
    for b in range(2):
        mass = 0.0
        for i in range(6):
            best = sorted(range(6), key=lambda j: -other[b, i, j].item())[:2]
            assert pattern[b, i].nonzero().flatten().tolist() == sorted(best)
            mass += sum(attn[b, i, j].item() for j in best) / 6
        assert pattern_mass_relative(attn, pattern)[b].item() == pytest.approx(mass / (2 / 6))
    uniform = torch.full((2, 6, 6), 1 / 6)
    torch.testing.assert_close(pattern_mass_relative(uniform, pattern), torch.ones(2))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_what_is_measured_along_training(finished, pooling):
    subject = stand_in(finished, CONFIG, ModelConfig(depth=2, width=WIDTH, heads=HEADS, pooling=pooling))
    table = measured(subject, "plateau")
    sample = subject.sample.part(0, 32)
    front = pooling == "cls"

    def looked_at(run, stage):
        model = subject.model(run, stage).eval()
        x = model.embedding(sample.batch.x)
        if front:
            x = torch.cat((model.cls.expand(len(x), 1, WIDTH), x), dim=1)
        h = x + model.positions[: x.shape[1]]
        for block in model.blocks:
            n = block.attention_norm(h)
            q, k, v = (
                f(n).unflatten(-1, (HEADS, -1)).transpose(1, 2)
                for f in (block.attention.query, block.attention.key, block.attention.value)
            )
            scores = q @ k.transpose(2, 3) / (WIDTH // HEADS) ** 0.5
            h = h + block.attention.output((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
            h = h + block.feedforward_out(torch.nn.functional.gelu(block.feedforward_in(block.feedforward_norm(h))))
            yield h[:, front:], scores[..., front:, front:].softmax(-1).mean(1)

    with torch.no_grad():
        spt = next(run for run in subject.runs if run.arm == "spt")
        patterns = [top_pattern(maps, 2 * MAX_LAG + 1) for _, maps in looked_at(spt, spt.stages[-1])]
        for run in subject.runs:
            for stage in run.along:
                layers = list(looked_at(run, stage))
                where = {"arm": run.arm, "stage": stage.name, "step": stage.step, "n": 20}
                cosines = [position_cosine(h).mean().item() for h, _ in layers]
                assert numbers(table, "state_cosine", "layer", **where) == pytest.approx(cosines, abs=1e-5)
                masses = [
                    pattern_mass_relative(maps, pattern).mean().item()
                    for (_, maps), pattern in zip(layers, patterns, strict=True)
                ]
                assert numbers(table, "pattern_mass_relative", "layer", **where) == pytest.approx(masses, abs=1e-4)
