"""What hidden states hold, and how far weights have moved.

Shapes: N examples, d features, D model width, H heads.
"""

import math
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

PROBE_FOLDS = 3
PROBE_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Folds and inverse penalties among which a linear probe picks (ours)."""


def cka(x: Tensor, y: Tensor, debiased: bool = True) -> float:
    """Linear centred kernel alignment of features (N, d1) and (N, d2); 1 if equal up to rotation and scale.

    Biased: ``||Y^T X||^2 / (||X^T X|| ||Y^T Y||)`` of centred features; it is high for unrelated features when
    N is not far above d. Debiased: ``HSIC_1(K, L) / sqrt(HSIC_1(K, K) HSIC_1(L, L))`` with the unbiased estimator of
    HSIC and K = X X^T, L = Y Y^T; near 0 for unrelated features whatever d, and may be negative.

    Raises:
        ValueError: N differs, or is below 4.

    Source: Kornblith et al. (2019), arXiv 1905.00414; Nguyen et al. (2021), arXiv 2010.15327.

    >>> x, other = torch.tensor([[1.0, -1.0, 1.0, -1.0]]).T, torch.tensor([[1.0, 1.0, -1.0, -1.0]]).T
    >>> round(cka(x, -3 * x), 6), cka(x, other, debiased=False)  # the same but for sign and scale; orthogonal
    (1.0, 0.0)
    """
    if len(x) != len(y) or len(x) < 4:
        raise ValueError(f"{len(x)} and {len(y)} examples; cka needs the same ones, four or more")
    x, y = (features.double() - features.double().mean(0) for features in (x, y))
    if not debiased:
        return float((y.T @ x).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm()))
    k, other = x @ x.T, y @ y.T
    return float(_hsic(k, other) / (_hsic(k, k) * _hsic(other, other)).sqrt())


def _hsic(k: Tensor, other: Tensor) -> Tensor:
    """The unbiased HSIC of two kernel matrices (N, N); Song et al. (2012), equation 5."""
    n = len(k)
    k, other = (m - torch.diag(m.diagonal()) for m in (k, other))
    product = (k * other).sum() + k.sum() * other.sum() / ((n - 1) * (n - 2))
    return (product - 2 / (n - 2) * (k.sum(0) @ other.sum(0))) / (n * (n - 3))


def linear_probe(
    train_x: NDArray[np.float64], train_y: NDArray[np.int64], test_x: NDArray[np.float64], test_y: NDArray[np.int64]
) -> float:
    """Accuracy of logistic regression on frozen features (N, d), on examples it was not fitted to.

    Features are standardised and the strength of the penalty is picked by cross-validation within the training
    examples. What random features reach is the measure: probe an untrained network too. Classes with a single training
    example cannot be cross-validated and are left out of both sides; NaN if fewer than two classes or no example
    remain.

    >>> x = np.array([[-2.0], [-1.0], [-3.0], [1.0], [2.0], [3.0]])
    >>> linear_probe(x, np.array([0, 0, 0, 1, 1, 1]), np.array([[-9.0], [9.0]]), np.array([0, 1]))
    1.0
    """
    classes, counts = np.unique(train_y, return_counts=True)
    kept = classes[counts >= 2]
    train, test = np.isin(train_y, kept), np.isin(test_y, kept)
    if len(kept) < 2 or not test.any():
        return math.nan
    folds = min(PROBE_FOLDS, int(counts[counts >= 2].min()))
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    model = GridSearchCV(pipeline, {"logisticregression__C": PROBE_STRENGTHS}, cv=StratifiedKFold(folds))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of weak penalties, which then lose the selection
        model.fit(train_x[train], train_y[train])
    return float(model.score(test_x[test], test_y[test]))


def head_products(left: Tensor, right: Tensor, heads: int) -> Tensor:
    """``M_h = W_h^T V_h`` (heads, D, D) of two projections (D, D) whose rows are split among heads.

    For queries and keys this is what the scores see: it stays when a head's queries are changed by any invertible R
    and its keys by the inverse of R^T, while distances of the weights themselves do not.

    >>> head_products(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.0, 3.0], [5.0, 0.0]]), 2).tolist()
    [[[0.0, 3.0], [0.0, 0.0]], [[0.0, 0.0], [10.0, 0.0]]]
    """
    a, b = (weight.reshape(heads, -1, weight.shape[1]) for weight in (left, right))
    products: Tensor = a.transpose(1, 2) @ b
    return products


def symmetry(matrix: Tensor) -> Tensor:
    """How symmetric matrices (..., D, D) are, ``(|S|^2 - |A|^2) / (|S|^2 + |A|^2)`` with S + A the symmetric and
    antisymmetric parts, (...): 1 symmetric, -1 antisymmetric, near 0 for random entries.

    Of queries and keys: a symmetric product lets two positions look at each other alike.

    Source: Saponati et al. (2025), arXiv 2502.10927.

    >>> symmetry(torch.eye(2)).item(), symmetry(torch.tensor([[0.0, 1.0], [-1.0, 0.0]])).item()
    (1.0, -1.0)
    """
    return (matrix * matrix.transpose(-1, -2)).sum((-2, -1)) / matrix.square().sum((-2, -1))


def position_cosine(states: Tensor) -> Tensor:
    """Mean cosine of the states of two different positions of a sequence, (..., n, D) to (...).

    ``(|sum_i u_i|^2 - n) / (n (n - 1))`` with unit vectors ``u_i``. On a plateau of the loss states become nearly
    parallel.

    Source: Gopalani and Hu (2025), arXiv 2506.13688.

    >>> round(position_cosine(torch.ones(3, 2)).item(), 6), position_cosine(torch.eye(2)).item()
    (1.0, 0.0)
    """
    n = states.shape[-2]
    unit = states / states.norm(dim=-1, keepdim=True)
    together: Tensor = unit.sum(-2).square().sum(-1)
    return (together - n) / (n * (n - 1))


def relative_change(now: Tensor, before: Tensor) -> float:
    """``||W - W0|| / ||W0||`` in the Frobenius norm.

    >>> relative_change(torch.tensor([3.0, 8.0]), torch.tensor([3.0, 4.0]))  # 4 of 5
    0.8
    """
    return float((now - before).double().norm() / before.double().norm())


def effective_rank(matrix: Tensor) -> Tensor:
    """``exp`` of the entropy of the normalised singular values, (...) of (..., D, D); between 1 and D.

    Source: Roy and Vetterli (2007).

    >>> round(effective_rank(torch.eye(3)).item(), 6)
    3.0
    """
    values = torch.linalg.svdvals(matrix.double())
    p = values / values.sum(-1, keepdim=True)
    entropy: Tensor = torch.special.entr(p).sum(-1)
    return entropy.exp()
