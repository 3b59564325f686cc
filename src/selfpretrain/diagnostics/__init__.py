"""Diagnostics as functions on tensors or on a plain loss, of any model.

Three need a model of this project: gradients on scores, slices along a bias on scores, and alignment.

What attention looks at (``attention``), what a loss teaches it (``gradients``), the loss around and between weights
(``landscape``, ``curvature``, ``alignment``), what hidden states hold (``representation``), and whether labels could
see local structure (``data``). Leading dimensions are batch and heads. ``selfpretrain.explain`` applies them to a
finished comparison.
"""

from selfpretrain.diagnostics.attention import (
    attention_distance,
    attention_entropy,
    lag_profile,
    score_decomposition,
    toeplitz_r2,
)
from selfpretrain.diagnostics.curvature import (
    Hessian,
    critical_sharpness,
    hessian_eigenvalues,
    hessian_trace,
    spectral_density,
)
from selfpretrain.diagnostics.data import lag_statistics
from selfpretrain.diagnostics.gradients import band_snr, gradient_snr, score_gradient
from selfpretrain.diagnostics.landscape import interpolation_barrier, loss_slice
from selfpretrain.diagnostics.representation import cka

__all__ = [
    "Hessian",
    "attention_distance",
    "attention_entropy",
    "band_snr",
    "cka",
    "critical_sharpness",
    "gradient_snr",
    "hessian_eigenvalues",
    "hessian_trace",
    "interpolation_barrier",
    "lag_profile",
    "lag_statistics",
    "loss_slice",
    "score_decomposition",
    "score_gradient",
    "spectral_density",
    "toeplitz_r2",
]
