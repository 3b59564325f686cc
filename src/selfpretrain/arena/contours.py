"""Contours for Pathfinder: how two long ones and some short ones grow without touching.

Written anew to the rules of drewlinsley/pathfinder at ab9c130 (MIT), which its authors and the Long Range Arena used.
That code works on whole images. Here every segment is a stamp from a table, because there are few ways in which one
can lie: 360 directions of a first segment, and as many of a later one as a circle has pixels. The kernels are compiled
where the package numba (an extra) is there, and run as Python otherwise; both draw the same random numbers.

Coordinates are (y, x). A mask says how far a pixel is taken, from 0 to 1: by segments with a margin around them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
try:
    from numba import njit as _njit

    COMPILED = True
    """Whether the kernels are compiled."""

    def compiled(function: F) -> F:
        """The function, compiled."""
        fast: F = _njit(cache=True)(function)
        return fast
except ImportError:
    COMPILED = False

    def compiled(function: F) -> F:
        """The function as it is: numba is not there."""
        return function


DEGREES = 360
FREE = 0.3
"""A pixel that is taken no further than this is free for a first segment."""
OVERLAP = 1.8
"""Masks that add up to this somewhere cross each other."""
DEAD_END = 1e-4
"""Ends whose weights add up to less are no way on."""
LEAST_FREE = 0.01
"""Share of an image below which no distractor begins."""
RETRIES = 2
"""More tries to place a segment (max_paddle_retrial of the original)."""
SHORT_RETRIES = 4
"""More tries to place a distractor (max_distractor_contour_retrial)."""


@dataclass(frozen=True)
class Geometry:
    """Sizes of an image and its segments, in pixels, by the names of the original.

    Attributes:
        size: of the square image.
        padding: of its border, which is taken.
        seed_distance: between the first tips of the two long contours.
        marker_radius: of the discs.
        length: of a segment (paddle_length).
        thickness: of a segment.
        margin: around a segment.
        continuity: how much a contour prefers to go on straight.
        segments: of a long contour.
        short_segments: of a distractor.
        distractors: their number.
        contrast: of the long contours.
        short_contrast: of distractors.
    """

    size: int
    seed_distance: int
    marker_radius: float
    thickness: float
    distractors: int
    contrast: float
    short_contrast: float
    padding: int = 1
    length: int = 5
    margin: int = 3
    continuity: float = 1.8
    segments: int = 14
    short_segments: int = 4


_PATHFINDER = Geometry(
    size=32,
    seed_distance=7,
    marker_radius=1.5,
    thickness=0.5,
    distractors=5,
    contrast=1.5,
    short_contrast=2.0,
    length=2,
    margin=1,
    continuity=1.0,
)
_PATH_X = Geometry(
    size=128, seed_distance=20, marker_radius=3, thickness=1.5, distractors=8, contrast=0.9, short_contrast=0.9
)
_PATH_X_256 = Geometry(
    size=256, seed_distance=27, marker_radius=5, thickness=2, distractors=7, contrast=1, short_contrast=1, padding=22
)
GEOMETRIES = {32: (_PATHFINDER,), 128: (replace(_PATH_X, margin=2), _PATH_X), 256: (_PATH_X_256,)}
"""By pixels a side: the hard images (curv_contour_length_14) of the Arena; an image has one of these geometries."""

SCALE = 2
"""Lines and discs are drawn so many times larger, then made smaller."""


class Tables(NamedTuple):
    """Every way in which a segment can lie: first the 360 directions of a first one, then those of later ones.

    Attributes:
        length, margin: of a segment.
        lines: (K, S, S) what is drawn, 0 to 1, around the end from which it is drawn.
        masks: (K, S, S) what it takes.
        directions: (K,) radians.
        ends: (U, 2) ends of a later segment, as seen from its pivot.
        weights: (K, U) preference for an end after a segment of each kind.
        disc: (P, 2) pixels within the margin.
        structs: (360, Q, 2) pixels that must be free for a first segment, as seen from its tail.
        n_structs: (360,) how many of these there are; 0 where a first segment is never found.
    """

    length: int
    margin: int
    lines: Floats
    masks: Floats
    directions: Floats
    ends: Whole
    weights: Floats
    disc: Whole
    structs: Whole
    n_structs: Whole


@lru_cache(maxsize=8)
def tables_of(geometry: Geometry) -> Tables:
    """The tables for a geometry."""
    from scipy import ndimage

    g, reach = geometry, geometry.length + math.ceil(geometry.thickness) + geometry.margin
    large = _disc(g.margin * SCALE)

    def drawn(direction: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        from PIL import Image, ImageDraw  # comes with matplotlib

        centre, side = reach * SCALE, 2 * reach * SCALE + 1
        y, x = (math.ceil(centre + g.length * SCALE * f(direction)) for f in (math.sin, math.cos))
        image = Image.new("F", (side, side), 0)
        ImageDraw.Draw(image).line([(centre, centre), (x, y)], fill=255, width=round(g.thickness * SCALE))
        line = np.asarray(image)
        taken = ndimage.maximum_filter(line, footprint=large, mode="constant", cval=0)
        return smaller(line, 2 * reach + 1), smaller(taken, 2 * reach + 1)

    around = 2 * math.pi * (g.length + g.margin)  # pixels on the circle of ends
    angles = np.arange(0, 360, 360 / around) * math.pi / 180
    circle = (g.length + g.margin) * np.stack((np.sin(angles), np.cos(angles)), axis=1)
    ends = np.unique(np.floor(circle).astype(np.int64), axis=0)
    first = np.arange(-180, 180) * math.pi / 180
    later = np.arctan2(ends[:, 0], ends[:, 1])
    directions = np.concatenate((first, later))
    stamps = [drawn(direction) for direction in (*first, *np.where(later < 0, later + math.pi, later - math.pi))]
    lines, masks = (np.stack(images) for images in zip(*stamps, strict=True))
    apart = np.abs(later - directions[:, None])
    turn = np.minimum(np.minimum(apart, 2 * math.pi - apart) * g.continuity, math.pi / 2)
    weights = np.maximum(np.cos(turn), 0) ** 2
    wide = g.length + g.margin
    structs = []
    for mask in masks[:DEGREES]:  # of the original: cut to (2 wide + 1)^2, one pixel off its centre
        y, x = np.nonzero(mask == 1)
        offsets = np.stack((y, x), axis=1) - reach + 1
        offsets = offsets[(np.abs(offsets) <= wide).all(axis=1)]
        structs.append(offsets if _reaches_all(offsets, g.size) else offsets[:0])
    counts = np.array([len(offsets) for offsets in structs], dtype=np.int64)
    padded = np.zeros((DEGREES, max(counts.max(), 1), 2), dtype=np.int64)
    for row, offsets in zip(padded, structs, strict=True):
        row[: len(offsets)] = offsets
    disc = np.argwhere(_disc(g.margin)) - g.margin
    return Tables(g.length, g.margin, lines, masks, directions, ends, weights, disc.astype(np.int64), padded, counts)


def _reaches_all(offsets: NDArray[np.int64], size: int) -> bool:
    """Whether every pixel of an image has one at these offsets.

    Where one has none, the original's dilation gives it minus infinity, and its search for free pixels then finds none
    at all. So its first segments point up and to the left, since they are looked for one pixel off.
    """
    y, x = np.mgrid[:size, :size]
    inside = [(y + v >= 0) & (y + v < size) & (x + u >= 0) & (x + u < size) for v, u in offsets]
    return bool(np.any(inside, axis=0).all()) if inside else False


def _disc(radius: int) -> NDArray[np.bool_]:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disc: NDArray[np.bool_] = x**2 + y**2 <= radius**2
    return disc


def smaller(image: NDArray[Any], side: int) -> NDArray[np.float64]:
    """An image from 0 to 255 made smaller by Lanczos' filter, from 0 to 1."""
    from PIL import Image

    small = Image.fromarray(image.astype(np.uint8)).resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(small, dtype=np.float64) / 255


@compiled
def free_tails(mask: Floats, border: int, struct: Whole) -> Whole:
    """Pixels (N, 2) at which a first segment may begin: all that it would take is free; row by row.

    Args:
        border: so many pixels along each edge count as taken.
        struct: (Q, 2) what it would take, as seen from its tail.
    """
    size = mask.shape[0]
    tails = np.empty((size * size, 2), dtype=np.int64)
    n = 0
    for y in range(size):
        for x in range(size):
            free = True
            for k in range(len(struct)):
                v, u = y + struct[k, 0], x + struct[k, 1]
                if v < 0 or v >= size or u < 0 or u >= size:
                    continue
                inside = border <= v < size - border and border <= u < size - border
                if not inside or mask[v, u] > FREE:
                    free = False
                    break
            if free:
                tails[n, 0], tails[n, 1] = y, x
                n += 1
    return tails[:n]


@compiled
def crosses(mask: Floats, stamp: Floats, y: int, x: int) -> bool:
    """Whether a segment's mask around (y, x) crosses what is taken."""
    reach, size = stamp.shape[0] // 2, mask.shape[0]
    for i in range(max(0, y - reach), min(size, y + reach + 1)):
        for j in range(max(0, x - reach), min(size, x + reach + 1)):
            if mask[i, j] + stamp[i - y + reach, j - x + reach] >= OVERLAP:
                return True
    return False


@compiled
def put(image: Floats, stamp: Floats, y: int, x: int) -> None:
    """Put a stamp around (y, x), where it is larger."""
    reach, size = stamp.shape[0] // 2, image.shape[0]
    for i in range(max(0, y - reach), min(size, y + reach + 1)):
        for j in range(max(0, x - reach), min(size, x + reach + 1)):
            image[i, j] = max(image[i, j], stamp[i - y + reach, j - x + reach])


@compiled
def anchor(y: int, x: int, direction: float, size: int, t: Tables) -> tuple[bool, int, int]:
    """Whether a first segment from its tail (y, x) fits into the image, and its pivot behind the tail."""
    head_y = math.ceil(y + t.length * math.sin(direction))
    head_x = math.ceil(x + t.length * math.cos(direction))
    back = direction + math.pi if direction + math.pi < math.pi else direction - math.pi
    pivot_y = math.ceil(head_y + (t.length + t.margin) * math.sin(back))
    pivot_x = math.ceil(head_x + (t.length + t.margin) * math.cos(back))
    fits = 0 <= head_y < size and 0 <= head_x < size and 0 <= pivot_y < size and 0 <= pivot_x < size
    return fits, pivot_y, pivot_x


@compiled
def extend(rng: np.random.Generator, mask: Floats, last: Whole, pivot: Whole, t: Tables) -> bool:
    """Add a segment to a contour: change ``last`` (kind, y, x) and ``pivot`` (y, x) to it; what it was is then taken.

    Returns:
        Whether there was room.
    """
    size, kind = mask.shape[0], last[0]
    y = math.ceil(pivot[0] + (t.length + 2 * t.margin) * math.sin(t.directions[kind]))
    x = math.ceil(pivot[1] + (t.length + 2 * t.margin) * math.cos(t.directions[kind]))
    n = len(t.ends)
    sums = np.empty(n)
    total = 0.0
    for k in range(n):
        v, u = y + t.ends[k, 0], x + t.ends[k, 1]
        if 0 <= v < size and 0 <= u < size and t.weights[kind, k] > 0:
            taken = 0.0
            for p in range(len(t.disc)):
                i, j = v + t.disc[p, 0], u + t.disc[p, 1]
                if 0 <= i < size and 0 <= j < size:
                    taken = max(taken, mask[i, j])
            total += (1 - taken) * t.weights[kind, k]
        sums[k] = total
    if total < DEAD_END:
        return False
    for _ in range(RETRIES + 1):
        wanted = rng.random() * total
        k = 0
        while k < n - 1 and sums[k] <= wanted:
            k += 1
        v, u = y + t.ends[k, 0], x + t.ends[k, 1]
        if not crosses(mask, t.masks[DEGREES + k], v, u):
            put(mask, t.masks[kind], last[1], last[2])
            last[0], last[1], last[2] = DEGREES + k, v, u
            pivot[0], pivot[1] = y, x
            return True
    return False


@compiled
def first_segment(rng: np.random.Generator, mask: Floats, border: int, last: Whole, pivot: Whole, t: Tables) -> bool:
    """Set ``last`` and ``pivot``, as in ``extend``, to a first segment; whether there was room."""
    size = mask.shape[0]
    for _ in range(RETRIES + 1):
        kind = int(rng.random() * DEGREES)
        if t.n_structs[kind] == 0:
            return False
        tails = free_tails(mask, border, t.structs[kind, : t.n_structs[kind]])
        if len(tails) == 0:
            return False
        place = int(rng.random() * len(tails))
        last[0], last[1], last[2] = kind, tails[place, 0], tails[place, 1]
        fits, pivot[0], pivot[1] = anchor(last[1], last[2], t.directions[kind], size, t)
        if fits:
            return True
    return False


@compiled
def beside(
    rng: np.random.Generator, size: int, distance: int, one: Whole, last: Whole, pivot: Whole, t: Tables
) -> bool:
    """Set ``last`` and ``pivot`` to a first segment at a distance from another one; whether it fits into the image."""
    for _ in range(RETRIES + 1):
        kind = int(rng.random() * DEGREES)
        angle = int(rng.random() * DEGREES) * math.pi / 180
        y = int(np.rint(one[1] + distance * math.sin(angle)))
        x = int(np.rint(one[2] + distance * math.cos(angle)))
        last[0], last[1], last[2] = kind, y, x
        fits, pivot[0], pivot[1] = anchor(y, x, t.directions[kind], size, t)
        if fits:
            return True
    return False


@compiled
def long_pair(
    rng: np.random.Generator, size: int, padding: int, distance: int, segments: int, t: Tables
) -> tuple[Floats, Whole, int]:
    """Two long contours, side by side; as many tries as it takes, since any failure begins anew.

    Returns:
        The mask, the segments (2, segments, 3) as (kind, y, x), and how many tries it took.
    """
    placed = np.zeros((2, segments, 3), dtype=np.int64)
    last = np.zeros((2, 3), dtype=np.int64)
    pivots = np.zeros((2, 2), dtype=np.int64)
    empty = np.ones((size, size))
    empty[padding : size - padding, padding : size - padding] = 0
    tries = 0
    while True:
        tries += 1
        mask = empty.copy()
        if not first_segment(rng, mask, 2 * distance, last[0], pivots[0], t):
            continue
        if not beside(rng, size, distance, last[0], last[1], pivots[1], t):
            continue
        placed[:, 0] = last
        grown = True
        for segment in range(1, segments):
            for contour in range(2):
                grown = grown and extend(rng, mask, last[contour], pivots[contour], t)
                placed[contour, segment] = last[contour]
            if not grown:
                break
        if grown:
            put(mask, t.masks[last[1, 0]], last[1, 1], last[1, 2])  # the original forgets the first contour's last one
            return mask, placed, tries


@compiled
def short_contour(rng: np.random.Generator, mask: Floats, segments: int, t: Tables) -> tuple[bool, Whole]:
    """A distractor where there is room: whether there was, and its segments (segments, 3); ``mask`` then has it.

    It begins nowhere if less than a hundredth of the image is free.
    """
    placed = np.zeros((segments, 3), dtype=np.int64)
    free = 0
    for taken in mask.flat:
        if taken <= FREE:
            free += 1
    last, pivot = np.zeros(3, dtype=np.int64), np.zeros(2, dtype=np.int64)
    for _ in range(SHORT_RETRIES + 1):
        if free < LEAST_FREE * mask.size:
            return False, placed
        own = mask.copy()
        grown = first_segment(rng, own, 1, last, pivot, t)
        placed[0] = last
        for segment in range(1, segments):
            grown = grown and extend(rng, own, last, pivot, t)
            placed[segment] = last
        if grown:
            put(own, t.masks[last[0]], last[1], last[2])
            mask[:] = own
            return True, placed
    return False, placed


@dataclass(frozen=True)
class Drawing:
    """An image of Pathfinder.

    Attributes:
        image: (size, size) uint8.
        connected: whether one contour joins both discs.
        contours: (2, segments, 3) of the long ones: kind, y and x of each segment.
        tries: pairs that were begun until one was whole.
    """

    image: NDArray[np.uint8]
    connected: bool
    contours: NDArray[np.int64]
    tries: int


def draw(geometry: Geometry, rng: np.random.Generator) -> Drawing:
    """Draw an image; every random number is from ``rng``."""
    g, t = geometry, tables_of(geometry)
    connected = rng.random() < 0.5
    mask, pair, tries = long_pair(rng, g.size, g.padding, g.seed_distance, g.segments, t)
    image = np.zeros((g.size, g.size))
    for kind, y, x in pair.reshape(-1, 3):
        put(image, g.contrast * t.lines[kind], y, x)
    for _ in range(g.distractors):
        there, placed = short_contour(rng, mask, g.short_segments, t)
        for kind, y, x in placed if there else ():
            put(image, g.short_contrast * t.lines[kind], y, x)
    origin = int(rng.random() < 0.5)
    end = origin if connected else 1 - origin
    for _, y, x in (pair[origin, 0], pair[end, -1]):
        image = np.maximum(image, marker(g, y, x))
    low, high = image.min(), image.max()
    scaled = (image - low) * (255 / (high - low))
    return Drawing((scaled.clip(0, 255) + 0.5).astype(np.uint8), bool(connected), pair, int(tries))


def marker(geometry: Geometry, y: int, x: int) -> NDArray[np.float64]:
    """A disc around a tip (size, size), from 0 to 1."""
    size = geometry.size
    rows, columns = np.ogrid[: size * SCALE, : size * SCALE]
    inside = (rows - y * SCALE) ** 2 + (columns - x * SCALE) ** 2 <= (geometry.marker_radius * SCALE) ** 2
    return smaller(255 * inside, size)
