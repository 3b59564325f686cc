"""Attention at the start, after self-pretraining and after label training."""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from selfpretrain.diagnostics import attention as formulas
from selfpretrain.diagnostics.protocol import score_modules
from selfpretrain.explain.sample import Sample, collect, front
from selfpretrain.explain.section import Part
from selfpretrain.explain.subject import Subject
from selfpretrain.explain.table import Measurement
from selfpretrain.model.transformer import SequenceModel

MATRICES = 64
"""Number of sequences whose score matrices are analysed one by one."""
LONGEST_LAG = 32
"""Profiles are kept up to this lag."""
MAP_SIZE = 64
"""Maps are averaged over blocks to at most this many rows and columns."""


def measure(subject: Subject, part: Part) -> Iterator[Measurement]:
    """Everything about attention, layer by layer, for one run; maps for the pictured seed alone."""
    run = next(run for run in subject.runs if run.name in part)
    maps = run.seed == subject.pictured[0].seed
    for stage in subject.stages(run):
        model, sample = subject.model(run, stage), subject.large_sample
        where: dict[str, Any] = {**run.where, "stage": stage.name, "step": stage.step}
        drop, size = front(model), 2 ** int(math.log2(sample.together(model)))  # chunks of one size
        few, bias = sample.part(0, MATRICES), _bias(model, sample)
        # Queries and keys together (N, 2, heads, n, K), in one pass over the sample.
        pairs = collect(model, sample, size, score_modules(model), lambda inputs, _: torch.stack(inputs[:2], 1))
        states = collect(model, few, few.together(model), list(model.blocks), lambda _, output: output)
        for layer, (pair, hidden) in enumerate(zip(pairs, states, strict=True)):
            q, k = pair[:, 0, :, drop:].contiguous(), pair[:, 1, :, drop:].contiguous()
            yield from _position_part(subject, model, q, k, maps, {**where, "layer": layer, "n": len(q)})
            here = {**where, "layer": layer, "n": len(few)}
            yield from _matrices(subject, model, q[:MATRICES], k[:MATRICES], bias, size, maps, here)
            yield Measurement(
                name="rank_collapse", values=formulas.rank_collapse(hidden[:, drop:]).mean(), unit="1", **here
            )


def _position_part(
    subject: Subject, model: SequenceModel, q: Tensor, k: Tensor, maps: bool, where: dict[str, Any]
) -> Iterator[Measurement]:
    """Measurements of the position part of the scores, from the mean query and key at each position.

    Queries and keys are (N, heads, n, K). A fixed bias on the scores is excluded.
    """
    n, visible = subject.length, _visible(subject, model)
    split = formulas.score_decomposition(q, k, visible)
    position = split.position_position
    centred = formulas.row_centred(position, visible)
    of_heads = partial(Measurement, axes=("head",), **where)
    for name, share in split.shares.items():
        yield of_heads(name=f"energy_{name.replace('-', '_')}", values=share, unit="1")
    yield of_heads(name="position_share", values=formulas.position_share(q, k, visible), unit="1")
    yield of_heads(name="position_toeplitz_r2", values=formulas.toeplitz_r2(position, visible=visible), unit="1")
    slope = formulas.proximity_slope(position, visible)
    yield of_heads(name="position_slope", values=slope, unit="score/position")
    yield of_heads(name="position_score_rms", values=_rms(centred, visible), unit="score")
    yield _profile("position_profile", formulas.lag_profile(position, visible), "score", n, visible, where)
    seen = position if visible is None else position.masked_fill(~visible, -torch.inf)
    near = formulas.window_mass(seen.softmax(-1), subject.config.max_lag)
    near_uniform = formulas.window_mass(_uniform(n, visible), subject.config.max_lag)
    yield of_heads(name="position_window_mass_relative", values=near / near_uniform, unit="1")
    if maps:
        yield _map("position_scores", _blocks(centred), "score", where)


def _matrices(
    subject: Subject,
    model: SequenceModel,
    q: Tensor,
    k: Tensor,
    bias: Tensor | None,
    size: int,
    maps: bool,
    where: dict[str, Any],
) -> Iterator[Measurement]:
    """Measurements of individual score matrices, ``size`` at a time, averaged over sequences."""
    n, visible = subject.length, _visible(subject, model)
    parts = zip(torch.split(q, size), torch.split(k, size), strict=True)
    chunks = [_of_matrices(_scores(*part, bias), visible, subject) for part in parts]
    mean = {name: torch.cat([chunk[name] for chunk in chunks]).sum(0) / len(q) for name in chunks[0]}
    uniform = _uniform(n, visible)
    of_heads = partial(Measurement, axes=("head",), **where)
    yield of_heads(name="score_rms", values=mean["score_rms"], unit="score")
    yield of_heads(name="score_slope", values=mean["score_slope"], unit="score/position")
    yield of_heads(name="score_toeplitz_r2", values=mean["score_toeplitz_r2"], unit="1")
    yield _profile("score_profile", mean["score_profile"], "score", n, visible, where)
    yield _profile("attention_profile", mean["attention_profile"], "1", n, visible, where)
    entropy = mean["entropy"] / formulas.attention_entropy(uniform).mean()
    yield of_heads(name="entropy_relative", values=entropy, unit="1")
    near_uniform = formulas.window_mass(uniform, subject.config.max_lag)
    yield of_heads(name="window_mass_relative", values=mean["window_mass"] / near_uniform, unit="1")
    for name, (unit, geometry) in _geometries(subject).items():
        yield of_heads(name=name, values=mean[name], unit=unit)
        relative = mean[name] / formulas.attention_distance(uniform, geometry)
        yield of_heads(name=f"{name}_relative", values=relative, unit="1")
    yield Measurement(name="head_divergence", values=mean["head_divergence"], unit="nats", **where)
    if maps:
        # Relative to uniform attention; where nothing may be seen, 0 / 0 leaves nothing to show.
        yield _map("attention_map", _blocks(mean["attention"]) / _blocks(uniform[None]), "1", where)


def _of_matrices(scores: Tensor, visible: Tensor | None, subject: Subject) -> dict[str, Tensor]:
    """Measurements of scores (B, heads, n, n), each (B, ...), but for ``attention``, which is summed (1, ...)."""
    seen = scores if visible is None else scores.masked_fill(~visible, -torch.inf)
    attn = seen.softmax(-1)
    distances = {
        name: formulas.attention_distance(attn, geometry) for name, (_, geometry) in _geometries(subject).items()
    }
    return {
        "score_rms": _rms(formulas.row_centred(scores, visible), visible),
        "score_profile": formulas.lag_profile(scores, visible),
        "score_slope": formulas.proximity_slope(scores, visible),
        "score_toeplitz_r2": formulas.toeplitz_r2(scores, visible=visible),
        "attention_profile": formulas.band_means(attn, visible),
        "attention": attn.sum(0, keepdim=True),
        "entropy": formulas.attention_entropy(attn).mean(-1),
        "window_mass": formulas.window_mass(attn, subject.config.max_lag),
        "head_divergence": formulas.head_divergence(attn),
        **distances,
    }


def _geometries(subject: Subject) -> dict[str, tuple[str, Tensor]]:
    """Unit and matrix (n, n) of every distance between positions that is measured."""
    distances = {"attention_distance": ("positions", formulas.position_distance(subject.length))}
    if subject.grid is not None:
        distances["attention_distance_2d"] = ("pixels", formulas.grid_distance(*subject.grid))
    return distances


def _profile(
    name: str, profile: Tensor, unit: str, n: int, visible: Tensor | None, where: dict[str, Any]
) -> Measurement:
    """A profile over lags (heads, 2n-1), of the near ones."""
    reach = min(LONGEST_LAG, n - 1)
    kept = profile[..., n - 1 - reach : n + reach].clone()
    if visible is not None:
        kept[..., reach + 1 :] = torch.nan  # nobody looks ahead
    lags = {"lag": range(-reach, reach + 1)}
    return Measurement(name=name, values=kept, unit=unit, axes=("head", "lag"), coordinates=lags, **where)


def _map(name: str, matrix: Tensor, unit: str, where: dict[str, Any]) -> Measurement:
    """A map (heads, query, key); of long sequences its rows and columns are blocks."""
    return Measurement(name=name, values=matrix, unit=unit, axes=("head", "x", "y"), **where)


def _bias(model: SequenceModel, sample: Sample) -> Tensor | None:
    """The fixed bias on the scores (heads, n, n); None if there is none. A causal mask is no bias."""
    if model.slopes is None:
        return None
    drop = front(model)
    bias = collect(model, sample.part(0, 1), 1, score_modules(model)[:1], lambda inputs, _: inputs[2])[0]
    bias = bias[0, :, drop:, drop:]
    return bias.masked_fill(bias == -torch.inf, 0.0)


def _visible(subject: Subject, model: SequenceModel) -> Tensor | None:
    """Which keys a query may see (n, n); None: all."""
    n = subject.length
    return torch.ones(n, n, dtype=torch.bool).tril() if model.config.causal else None


def _scores(q: Tensor, k: Tensor, bias: Tensor | None) -> Tensor:
    scores: Tensor = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return scores if bias is None else scores + bias


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
