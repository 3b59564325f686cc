"""Are two discs joined by a contour? The tasks Pathfinder and Path-X of the Long Range Arena."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from selfpretrain.errors import require_at_least
from selfpretrain.tasks.builtin.base import DrawnTask, Made, halved, in_order

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from selfpretrain.tasks.builtin.contours import Geometry

SIDE = 32
WITHOUT_NUMBA = 100.0
"""How many times longer an image takes without numba (measured)."""


def geometries(side: int) -> "tuple[Geometry, ...]":
    """Of images of so many pixels a side, hard (curv_contour_length_14), as in the Arena: an image has one of them."""
    from selfpretrain.tasks.builtin.contours import Geometry

    if side == 32:
        return (
            Geometry(
                size=32,
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
            ),
        )
    if side == 128:
        return tuple(
            Geometry(
                size=128,
                padding=1,
                seed_distance=20,
                marker_radius=3,
                length=5,
                thickness=1.5,
                margin=margin,
                continuity=1.8,
                distractors=8,
                contrast=0.9,
                short_contrast=0.9,
            )
            for margin in (2, 3)
        )
    return (
        Geometry(
            size=256,
            padding=22,
            seed_distance=27,
            marker_radius=5,
            length=5,
            thickness=2,
            margin=3,
            continuity=1.8,
            distractors=7,
            contrast=1,
            short_contrast=1,
        ),
    )


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
    grid = (SIDE, SIDE)
    side: ClassVar[int] = SIDE
    """Of the images that are drawn."""
    compiled_seconds: ClassVar[float] = 0.0011
    """What an image takes with numba."""
    sequences: int = 200_000
    """Number of images N, before the split: 80% for training, 10% for validation and 10% for the test."""

    def __post_init__(self) -> None:
        require_at_least(self, sequences=20)

    @property
    def seconds_each(self) -> float:
        """With numba, or a hundred times that."""
        from selfpretrain.tasks.builtin import contours

        return self.compiled_seconds * (1.0 if contours.COMPILED else WITHOUT_NUMBA)

    @property
    def hint(self) -> str:
        """Numba, where it is not."""
        from selfpretrain.tasks.builtin import contours

        return "" if contours.COMPILED else ", and a hundredth of that with numba (pip install 'selfpretrain[numba]')"

    def draw(self, seeds: "NDArray[np.int64]") -> "tuple[NDArray[Any], NDArray[np.int64]]":
        """What a model sees of the images (N, T), and whether their discs are joined."""
        import numpy as np

        from selfpretrain.tasks.builtin import contours

        arenas = geometries(self.side)
        x = np.empty((len(seeds), self.side**2), dtype=np.uint8)
        y = np.empty(len(seeds), dtype=np.int64)
        for row, seed in enumerate(seeds):
            generator = np.random.default_rng(seed)
            arena = arenas[int(generator.integers(len(arenas)))] if len(arenas) > 1 else arenas[0]
            drawing = contours.draw(arena, generator)
            x[row], y[row] = drawing.image.ravel(), drawing.connected
        return self._seen(x), y

    def made(self, x: "NDArray[Any]", y: "NDArray[np.int64]") -> Made:
        """Split in order."""
        held_out = self.sequences // 10
        split = in_order(self.sequences - 2 * held_out, held_out, held_out)
        return Made("values", ("apart", "connected"), x, y, split)

    def _seen(self, x: "NDArray[Any]") -> "NDArray[Any]":
        """The images, their side halved until it is the grid's: means of pixels, exact in float32."""
        import numpy as np

        side = self.side
        while self.grid is not None and side > self.grid[0]:
            x, side = halved(x, side).astype(np.float32), side // 2
        return x


@dataclass(frozen=True, kw_only=True)
class PathfinderSmall(Pathfinder):
    """Pathfinder at 16x16 pixels, four become their mean, 4,000 images: a look within minutes, no task of the Arena."""

    name = "lra-pathfinder-small"
    size = "4,000 x 256"
    preset = "lra-pathfinder-small"
    grid: ClassVar[tuple[int, int]] = (16, 16)
    sequences: int = 4_000
    """Number of images N, before the split: 80% for training, 10% for validation and 10% for the test (ours)."""


@dataclass(frozen=True, kw_only=True)
class PathX(Pathfinder):
    """Path-X of the Long Range Arena: Pathfinder at 128x128, 16,384 pixels one by one.

    The rules of lra-pathfinder. The room around a dash is 2 or 3 pixels, drawn for each image.

    Source: Linsley et al. (2018), by the rules of drewlinsley/pathfinder at ab9c130; Tay et al. (2021).
    """

    name = "lra-pathx"
    size = "200,000 x 16,384"
    preset = "amos-pathx"
    grid: ClassVar[tuple[int, int]] = (128, 128)
    side = 128
    compiled_seconds = 0.1


@dataclass(frozen=True, kw_only=True)
class PathXSmall(PathX):
    """Path-X at 32x32 pixels, sixteen become their mean, 2,000 images: a look within minutes, no task of the Arena."""

    name = "lra-pathx-small"
    size = "2,000 x 1,024"
    preset = "lra-pathx-small"
    grid: ClassVar[tuple[int, int]] = (32, 32)
    sequences: int = 2_000
    """Number of images N, before the split: 80% for training, 10% for validation and 10% for the test (ours)."""


@dataclass(frozen=True, kw_only=True)
class PathX256(Pathfinder):
    """Path-X at 256x256, 65,536 pixels one by one, with the Arena's settings for that size.

    The rules of lra-pathfinder.

    Source: Linsley et al. (2018), by the rules of drewlinsley/pathfinder at ab9c130; Tay et al. (2021).
    """

    name = "lra-pathx256"
    size = "200,000 x 65,536"
    preset = "amos-pathx-256"
    grid: ClassVar[tuple[int, int]] = (256, 256)
    side = 256
    compiled_seconds = 0.042


@dataclass(frozen=True, kw_only=True)
class PathX256Small(PathX256):
    """Path-X-256 at 32x32 pixels, 64 become their mean, 2,000 images: a look within minutes, no task of the Arena."""

    name = "lra-pathx256-small"
    size = "2,000 x 1,024"
    preset = "lra-pathx256-small"
    grid: ClassVar[tuple[int, int]] = (32, 32)
    sequences: int = 2_000
    """Number of images N, before the split: 80% for training, 10% for validation and 10% for the test (ours)."""
