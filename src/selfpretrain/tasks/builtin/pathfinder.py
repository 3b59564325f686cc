"""Are two discs joined by a contour? The task Pathfinder of the Long Range Arena."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from selfpretrain.errors import SettingError, require_at_least
from selfpretrain.tasks.builtin.base import BuiltinTask, Made, halved, in_order

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from selfpretrain.tasks.builtin.contours import Geometry

SIDE = 32
WITHOUT_NUMBA = 5_000
"""Images beyond which numba is asked for: a tenth of a second each without it, a thousandth with it."""


def geometry() -> "Geometry":
    """Of 32x32 pixels, hard (curv_contour_length_14), as in the Long Range Arena."""
    from selfpretrain.tasks.builtin.contours import Geometry

    return Geometry(
        size=SIDE,
        padding=1,
        seed_distance=7,
        marker_radius=1.5,
        length=2,
        thickness=0.5,
        margin=1,
        continuity=1.0,
        distractors=5,
        contrast=1.5,
        short_contrast=2.0,
    )


@dataclass(frozen=True, kw_only=True)
class Pathfinder(BuiltinTask):
    """Pathfinder of the Long Range Arena: 1,024 pixels one by one, and whether a contour joins two discs.

    Two contours of 14 dashes grow beside each other among shorter ones. A disc is at the beginning of one of them, and
    another at the end of the same (connected) or of the other. If a dash has no room, both are begun anew.

    These are other images than the Arena's, under the same law.

    Source: Linsley et al. (2018), by the rules of drewlinsley/pathfinder at ab9c130; Tay et al. (2021).
    """

    name = "lra-pathfinder"
    preset = "amos-pathfinder"
    grid = (SIDE, SIDE)
    sequences: int = 200_000
    """Number of images N, before the split: 80% for training, 10% for validation and 10% for the test."""

    def __post_init__(self) -> None:
        require_at_least(self, sequences=20)

    def build(self, generator: "np.random.Generator") -> Made:
        """Draw the images, each from a seed of its own."""
        import numpy as np

        from selfpretrain.tasks.builtin import contours

        if not contours.COMPILED and self.sequences > WITHOUT_NUMBA:
            said = f"take hours without numba: pip install 'selfpretrain[numba]', or ask for {WITHOUT_NUMBA} at most"
            raise SettingError("sequences", self.sequences, said)
        seeds = generator.integers(2**63, size=self.sequences)
        x = np.empty((self.sequences, SIDE * SIDE), dtype=np.uint8)
        y = np.empty(self.sequences, dtype=np.int64)
        arena = geometry()
        for row, seed in enumerate(seeds):
            drawing = contours.draw(arena, np.random.default_rng(seed))
            x[row], y[row] = drawing.image.ravel(), drawing.connected
        held_out = self.sequences // 10
        split = in_order(self.sequences - 2 * held_out, held_out, held_out)
        return Made("values", ("apart", "connected"), self.seen(x), y, split)

    def seen(self, x: "NDArray[Any]") -> "NDArray[Any]":
        """What a model sees of the images (N, 1024)."""
        return x


@dataclass(frozen=True, kw_only=True)
class PathfinderSmall(Pathfinder):
    """Pathfinder at 16x16 pixels, four become their mean, 4,000 images: a look within minutes, no task of the Arena."""

    name = "lra-pathfinder-small"
    preset = "lra-pathfinder-small"
    grid: ClassVar[tuple[int, int]] = (SIDE // 2, SIDE // 2)
    sequences: int = 4_000
    """Number of images N, before the split: 80% for training, 10% for validation and 10% for the test (ours)."""

    def seen(self, x: "NDArray[Any]") -> "NDArray[Any]":
        """Means of four pixels (N, 256)."""
        return halved(x, SIDE)
