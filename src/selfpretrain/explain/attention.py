"""Attention at the start, after self-pretraining and after label training."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from selfpretrain.diagnostics import attention as formulas
from selfpretrain.diagnostics.protocol import hooked, observed, score_modules
from selfpretrain.explain.measurement import Measurement
from selfpretrain.explain.sample import Sample
from selfpretrain.explain.section import Part
from selfpretrain.explain.subject import Subject
from selfpretrain.model.transformer import SequenceModel
from selfpretrain.train.objectives import class_logits

MATRICES = 64
"""Sequences whose score matrices are measured one by one; the position part rests on all of them."""
LONGEST_LAG = 32
"""Profiles are kept up to this lag."""
MAP_SIZE = 64
"""Maps are averaged over blocks to at most this many rows and columns."""


def measure(subject: Subject, part: Part) -> Iterator[Measurement]:
    """Everything about attention, layer by layer, for one run."""
    run = next(run for run in subject.runs if run.name in part)
    for stage in subject.stages(run):
        model = subject.model(run, stage)
        where: dict[str, Any] = {**run.where, "stage": stage.name, "step": stage.step}
        size = 2 ** int(math.log2(subject.large_sample.together(model)))  # chunks of one size
        queries, keys, bias = _queries_and_keys(model, subject.large_sample, size)
        states = _states(model, subject.large_sample.part(0, MATRICES))
        seen = zip(queries, keys, states, strict=True)
        layers = [_layer(subject, model, q, k, bias, hidden, size) for q, k, hidden in seen]
        for name, (unit, axes, _) in layers[0].items():
            values = torch.stack([layer[name][2] for layer in layers])
            n = len(subject.large_sample) if name in FROM_ALL else min(MATRICES, len(subject.large_sample))
            yield Measurement(name=name, values=values, unit=unit, axes=("layer", *axes), n=n, **where)


FROM_ALL = {
    "energy_share",
    "position_scores",
    "position_toeplitz_r2",
    "position_slope",
    "position_profile",
    "position_score_rms",
    "position_share",
    "position_window_mass_relative",
}
"""What rests on the means over all sampled sequences."""


def _layer(
    subject: Subject, model: SequenceModel, q: Tensor, k: Tensor, bias: Tensor | None, hidden: Tensor, size: int
) -> dict[str, tuple[str, tuple[str, ...], Tensor]]:
    """Unit, axes and values of every measurement of one layer.

    Args:
        subject: what is diagnosed.
        model: its model.
        q, k: (N, heads, n, K) queries and keys.
        bias: (heads, n, n) on the scores, if there is one.
        hidden: (B, n, D) states after the block.
        size: sequences whose score matrices are taken together.
    """
    n = subject.length
    visible = torch.ones(n, n, dtype=torch.bool).tril() if model.config.causal else None
    split = formulas.score_decomposition(q, k, visible)
    shares = torch.stack(list(split.shares.values()))  # (parts, heads)
    position = split.position_position  # what has been learnt: without a fixed bias, if there is one
    parts = []
    for start in range(0, min(MATRICES, len(q)), size):
        here = slice(start, min(start + size, MATRICES))
        parts.append(_of_matrices(_scores(q[here], k[here], bias), visible, subject))
    n_matrices = min(MATRICES, len(q))
    mean = {name: torch.cat([part[name] for part in parts]).sum(0) / n_matrices for name in parts[0]}
    reach = min(LONGEST_LAG, n - 1)
    uniform = _uniform(n, visible)
    near_uniform = formulas.window_mass(uniform, subject.config.max_lag)
    seen_position = position if visible is None else position.masked_fill(~visible, -torch.inf)
    position_near = formulas.window_mass(seen_position.softmax(-1), subject.config.max_lag)

    def near(profile: Tensor) -> Tensor:
        kept = profile[..., n - 1 - reach : n + reach].clone()
        if visible is not None:
            kept[..., reach + 1 :] = torch.nan  # nobody looks ahead
        return kept

    distance = {"attention_distance": ("positions", formulas.position_distance(n))}
    if subject.grid is not None:
        distance["attention_distance_2d"] = ("pixels", formulas.grid_distance(*subject.grid))
    result: dict[str, tuple[str, tuple[str, ...], Tensor]] = {
        "energy_share": ("1", ("part", "head"), shares),
        "position_share": ("1", ("head",), formulas.position_share(q, k, visible)),
        "position_scores": ("score", ("head", "query", "key"), _blocks(formulas.row_centred(position, visible))),
        "position_toeplitz_r2": ("1", ("head",), formulas.toeplitz_r2(position, visible=visible)),
        "position_slope": ("score/position", ("head",), formulas.proximity_slope(position, visible)),
        "position_profile": ("score", ("head", "lag"), near(formulas.lag_profile(position, visible))),
        "position_score_rms": ("score", ("head",), _rms(formulas.row_centred(position, visible), visible)),
        "score_rms": ("score", ("head",), mean["score_rms"]),
        "score_profile": ("score", ("head", "lag"), near(mean["score_profile"])),
        "score_slope": ("score/position", ("head",), mean["score_slope"]),
        "score_toeplitz_r2": ("1", ("head",), mean["score_toeplitz_r2"]),
        "attention_profile": ("1", ("head", "lag"), near(mean["attention_profile"])),
        # Relative to uniform attention; where nothing may be seen, 0 / 0 leaves nothing to show.
        "attention_map": ("1", ("head", "query", "key"), _blocks(mean["attention"]) / _blocks(uniform[None])),
        "entropy_relative": ("1", ("head",), mean["entropy"] / formulas.attention_entropy(uniform).mean()),
        "window_mass_relative": ("1", ("head",), mean["window_mass"] / near_uniform),
        "position_window_mass_relative": ("1", ("head",), position_near / near_uniform),
        "head_divergence": ("nats", (), mean["head_divergence"]),
        "rank_collapse": ("1", (), formulas.rank_collapse(hidden).mean()),
    }
    for name, (unit, geometry) in distance.items():
        result[name] = (unit, ("head",), mean[name])
        relative = mean[name] / formulas.attention_distance(uniform, geometry)
        result[f"{name}_relative"] = ("1", ("head",), relative)
    return result


def _of_matrices(scores: Tensor, visible: Tensor | None, subject: Subject) -> dict[str, Tensor]:
    """What is measured on every sequence's matrix; scores (B, heads, n, n), results (B, ...) or their sum (1, ...)."""
    hidden = scores if visible is None else scores.masked_fill(~visible, -torch.inf)
    attn = hidden.softmax(-1)
    measured = {
        "score_rms": _rms(formulas.row_centred(scores, visible), visible),
        "score_profile": formulas.lag_profile(scores, visible),
        "score_slope": formulas.proximity_slope(scores, visible),
        "score_toeplitz_r2": formulas.toeplitz_r2(scores, visible=visible),
        "attention_profile": formulas.band_means(attn, visible),
        "attention": attn.sum(0, keepdim=True),
        "entropy": formulas.attention_entropy(attn).mean(-1),
        "window_mass": formulas.window_mass(attn, subject.config.max_lag),
        "attention_distance": formulas.attention_distance(attn),
        "head_divergence": formulas.head_divergence(attn),
    }
    if subject.grid is not None:
        measured["attention_distance_2d"] = formulas.attention_distance(attn, formulas.grid_distance(*subject.grid))
    return measured


def _queries_and_keys(
    model: SequenceModel, sample: Sample, size: int
) -> tuple[list[Tensor], list[Tensor], Tensor | None]:
    """Of every layer queries and keys of the real positions (N, heads, n, K); and the fixed bias (heads, n, n)."""
    layers = len(model.blocks)
    queries: list[list[Tensor]] = [[] for _ in range(layers)]
    keys: list[list[Tensor]] = [[] for _ in range(layers)]
    bias: list[Tensor | None] = []
    drop = model.cls is not None  # cls stands in front

    def see(layer: int, args: tuple[Any, ...], _: Tensor) -> None:
        queries[layer].append(args[0][:, :, drop:])
        keys[layer].append(args[1][:, :, drop:])
        bias.append(args[2])

    with observed(model), torch.no_grad(), hooked(score_modules(model), see):
        for chunk in sample.chunks(size):
            class_logits(model, chunk.batch, model.inputs)
    q, k = ([torch.cat(parts) for parts in kept] for kept in (queries, keys))
    fixed = bias[0]
    if fixed is None or model.slopes is None:
        return q, k, None  # a causal mask is no bias
    fixed = fixed[0, :, drop:, drop:]
    return q, k, fixed.masked_fill(fixed == -torch.inf, 0.0)


def _scores(q: Tensor, k: Tensor, bias: Tensor | None) -> Tensor:
    scores: Tensor = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return scores if bias is None else scores + bias


def _states(model: SequenceModel, sample: Sample) -> list[Tensor]:
    """Hidden states after every block (B, n, D), in evaluation mode."""
    kept: list[list[Tensor]] = [[] for _ in model.blocks]

    def see(layer: int, args: tuple[Any, ...], output: Tensor) -> None:
        kept[layer].append(output[:, model.cls is not None :])

    with observed(model), torch.no_grad(), hooked(list(model.blocks), see):
        for chunk in sample.chunks(sample.together(model)):
            class_logits(model, chunk.batch, model.inputs)
    return [torch.cat(parts) for parts in kept]


def _uniform(n: int, visible: Tensor | None) -> Tensor:
    """Attention that looks at everything it may, equally."""
    seen = torch.ones(n, n) if visible is None else visible.float()
    return seen / seen.sum(-1, keepdim=True)


def _rms(centred: Tensor, visible: Tensor | None) -> Tensor:
    """Root mean square over the pairs that count, (...)."""
    pairs = centred.shape[-1] ** 2 if visible is None else int(visible.sum())
    return (centred.square().sum((-2, -1)) / pairs).sqrt()


def _blocks(matrix: Tensor) -> Tensor:
    """(..., n, n) averaged over blocks to at most ``MAP_SIZE`` rows and columns."""
    flat = matrix.flatten(0, -3)[None].float()
    size = min(MAP_SIZE, matrix.shape[-1])
    pooled: Tensor = torch.nn.functional.adaptive_avg_pool2d(flat, (size, size))
    return pooled[0].reshape(*matrix.shape[:-2], size, size)
