"""The only definition of a metric.

``sklearn.metrics.log_loss`` clips probabilities at 2e-16, which would hide how wrong a confident model is; the loss
here is exact for any logits, and equal to it elsewhere (a test compares them).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Scores of a classifier on a split: accuracy in [0, 1], and cross-entropy in nats."""

    acc: float
    loss: float

    @classmethod
    def of_logits(cls, logits: "NDArray[np.float64]", y: "NDArray[np.int64]") -> "Metrics":
        """``loss = -mean_n log softmax(logits_n)[y_n]``, with logits (N, classes) and true classes (N,).

        >>> import numpy as np
        >>> metrics = Metrics.of_logits(np.array([[0.0, 0.0], [0.0, np.log(3.0)]]), np.array([0, 1]))
        >>> round(metrics.loss, 6), metrics.acc  # (ln 2 + ln 4/3) / 2
        (0.490415, 1.0)
        """
        import numpy as np
        from scipy.special import log_softmax
        from sklearn.metrics import accuracy_score

        loss = -np.mean(log_softmax(logits, axis=1)[np.arange(len(y)), y])
        return cls(acc=float(accuracy_score(y, logits.argmax(axis=1))), loss=float(loss))

    @classmethod
    def of_probabilities(cls, probabilities: "NDArray[Any]", y: "NDArray[np.int64]") -> "Metrics":
        """The same of class probabilities (N, classes); one of 0 counts as 1e-300."""
        import numpy as np

        return cls.of_logits(np.log(np.maximum(probabilities, 1e-300)), y)
