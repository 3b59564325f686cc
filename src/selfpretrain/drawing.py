"""Pictures: what one is, and how all of them look."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE, NARROW = (9.6, 3.1), (4.8, 3.3)
"""Sizes in inches: of the whole page, and of half of it."""
# Okabe and Ito's palette, which colour-blind readers can tell apart.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#666666")
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


@dataclass(frozen=True)
class Picture:
    """One picture of a report."""

    title: str
    paint: Callable[[Any, "Figure"], bool]
    """Draws what it is given on a figure, and says whether there was anything to draw."""
    caption: str
    size_inches: tuple[float, float] = NARROW

    @property
    def is_wide(self) -> bool:
        return self.size_inches[0] > NARROW[0]

    def svg(self, content: Any) -> str | None:
        """The picture of ``content`` as an SVG element; None where there is nothing to draw."""
        import matplotlib as mpl
        from matplotlib.figure import Figure

        with mpl.rc_context(cast(Any, {**STYLE, "svg.hashsalt": self.title})):
            figure, buffer = Figure(figsize=self.size_inches, layout="constrained"), io.StringIO()
            if not self.paint(content, figure):
                return None
            figure.savefig(buffer, format="svg", metadata={"Date": None})
        svg = buffer.getvalue()
        return svg[svg.index("<svg") :]


def interval_bar(
    ax: "Axes",
    place: float,
    mean: float,
    bounds: tuple[float | None, float | None],
    *,
    across: bool = False,
    **style: Any,
) -> None:
    """A mean with its interval, upright or across; nothing where there is no interval."""
    low, high = bounds
    if low is None or high is None:
        return
    error = [[mean - low], [high - mean]]
    where: dict[str, Any] = {"x": mean, "y": place, "xerr": error} if across else {"x": place, "y": mean, "yerr": error}
    ax.errorbar(**where, **{"color": "black", "capsize": 4, **style})


def in_points(bounds: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
    """Bounds of a share, times 100."""
    low, high = (None if bound is None else 100 * bound for bound in bounds)
    return low, high


def legend(ax: "Axes", **settings: Any) -> None:
    """A legend, where there is something to name."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(**{"loc": "best", **settings})
