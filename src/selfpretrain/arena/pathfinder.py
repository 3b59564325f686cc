"""Are two discs joined by a contour? The tasks Pathfinder and Path-X of the Long Range Arena."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from selfpretrain.arena.base import in_order, shrunk
from selfpretrain.arena.pieces import DrawnTask
from selfpretrain.errors import require_at_least
from selfpretrain.registry import register

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SLOWER = 1.0 if find_spec("numba") else 100.0
"""How many times longer an image takes than with numba (measured)."""


@register
@dataclass(frozen=True, kw_only=True)
class Pathfinder(DrawnTask):
    """Pathfinder of the Long Range Arena: 1,024 pixels one by one, and whether a contour joins two discs.

    Two contours of 14 dashes grow beside each other among shorter ones. A disc is at the beginning of one of them, and
    another at the end of the same (connected) or of the other. If a dash has no room, both are begun anew.

    These are other images than the Arena's, under the same law.

    Source: Linsley et al. (2018), by the rules of drewlinsley/pathfinder at ab9c130; Tay et al. (2021).
    """

    name = "lra-pathfinder"
    size = "200,000 x 1,024"
    preset = "amos-pathfinder"
    small: ClassVar[str | None] = "lra-pathfinder-small"
    grid: ClassVar[tuple[int, int]] = (32, 32)
    classes = ("apart", "connected")
    seconds_per_row = 0.0011 * SLOWER
    hint = ", and a hundredth of that with numba (pip install 'selfpretrain[numba]')" if SLOWER > 1 else ""
    side: ClassVar[int] = 32
    """Pixels a side of the images that are drawn; the model sees those of the grid, which are means of blocks."""
    sequences: int = 200_000
    """Number of images N, before the split: 80% for training, 10% for validation and 10% for the test."""

    def __post_init__(self) -> None:
        require_at_least(self, sequences=20)

    def draw(self, seeds: "NDArray[np.int64]") -> "tuple[NDArray[Any], NDArray[np.int64]]":
        """The images that a model sees (N, T), and whether their discs are joined (N,)."""
        import numpy as np

        from selfpretrain.arena import contours

        geometries = contours.GEOMETRIES[self.side]
        x = np.empty((len(seeds), self.side**2), dtype=np.uint8)
        y = np.empty(len(seeds), dtype=np.int64)
        for row, seed in enumerate(seeds):
            generator = np.random.default_rng(seed)
            geometry = geometries[int(generator.integers(len(geometries)))]
            drawing = contours.draw(geometry, generator)
            x[row], y[row] = drawing.image.ravel(), drawing.connected
        if self.grid[0] == self.side:
            return x, y
        return shrunk(x, self.side, self.grid[0]).astype(np.float32), y  # exact: blocks have 4^n pixels of 8 bits

    def split(self) -> list[str]:
        held_out = self.sequences // 10
        return in_order(self.sequences - 2 * held_out, held_out, held_out)


@register
@dataclass(frozen=True, kw_only=True)
class PathfinderSmall(Pathfinder):
    """Pathfinder at 16x16 pixels, four become their mean, 4,000 images: a look within minutes, no task of the Arena."""

    name = "lra-pathfinder-small"
    size = "4,000 x 256"
    preset = "lra-pathfinder-small"
    small = None
    grid = (16, 16)
    sequences: int = 4_000


@register
class PathX(Pathfinder):
    """Path-X of the Long Range Arena: Pathfinder at 128x128, 16,384 pixels one by one.

    The rules of lra-pathfinder. The room around a dash is 2 or 3 pixels, drawn for each image.

    Source: Linsley et al. (2018), by the rules of drewlinsley/pathfinder at ab9c130; Tay et al. (2021).
    """

    name = "lra-pathx"
    size = "200,000 x 16,384"
    preset = "amos-pathx"
    small: ClassVar[str | None] = "lra-pathx-small"
    grid = (128, 128)
    side = 128
    seconds_per_row = 0.1 * SLOWER


@register
@dataclass(frozen=True, kw_only=True)
class PathXSmall(PathX):
    """Path-X at 32x32 pixels, sixteen become their mean, 2,000 images: a look within minutes, no task of the Arena."""

    name = "lra-pathx-small"
    size = "2,000 x 1,024"
    preset = "lra-pathx-small"
    small = None
    grid = (32, 32)
    sequences: int = 2_000


@register
class PathX256(Pathfinder):
    """Path-X at 256x256, 65,536 pixels one by one, with the Arena's settings for that size.

    The rules of lra-pathfinder.

    Source: Linsley et al. (2018), by the rules of drewlinsley/pathfinder at ab9c130; Tay et al. (2021).
    """

    name = "lra-pathx256"
    size = "200,000 x 65,536"
    preset = "amos-pathx-256"
    small: ClassVar[str | None] = "lra-pathx256-small"
    grid = (256, 256)
    side = 256
    seconds_per_row = 0.042 * SLOWER


@register
@dataclass(frozen=True, kw_only=True)
class PathX256Small(PathX256):
    """Path-X-256 at 32x32 pixels, 64 become their mean, 2,000 images: a look within minutes, no task of the Arena."""

    name = "lra-pathx256-small"
    size = "2,000 x 1,024"
    preset = "lra-pathx256-small"
    small = None
    grid = (32, 32)
    sequences: int = 2_000
