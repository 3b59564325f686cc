"""Contours for Pathfinder: how two long ones and some short ones grow without touching.

Written anew to the rules of drewlinsley/pathfinder at ab9c130 (MIT), which its authors and the Long Range Arena used.
That code works on whole images. Here every segment is a stamp from a table, because there are few ways in which one
can lie: 360 directions of a first segment, and as many of a later one as a circle has pixels. The kernels are compiled
where the package numba (an extra) is there, and run as Python otherwise; both draw the same random numbers.

Coordinates are (y, x). A mask (size, size) says how far a pixel is taken, from 0 to 1: by segments with a margin around
them. A segment is an array of five: its kind in the tables, the pixel (y, x) of its tip, and that of its pivot.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

try:
    from numba import njit
except ImportError:
    njit = None

F = TypeVar("F", bound=Callable[..., Any])
Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]

COMPILED = njit is not None
"""Whether the kernels are compiled."""
DEGREES = 360
FREE = 0.3
"""A pixel that is taken no further than this is free for a first segment."""
OVERLAP = 1.8
"""Masks that add up to this somewhere cross each other."""
DEAD_END = 1e-4
"""Ends whose weights add up to less are no way on."""
LEAST_FREE = 0.01
"""Share of an image below which no distractor begins."""
RETRIES, SHORT_RETRIES = 2, 4
"""More tries to place a segment, and a distractor (max_paddle_retrial, max_distractor_contour_retrial)."""
SCALE = 2
"""Lines and discs are drawn so many times larger, then made smaller."""


def compiled(function: F) -> F:
    """The function, compiled by numba where that is installed."""
    return njit(cache=True)(function) if COMPILED else function


@dataclass(frozen=True)
class Geometry:
    """Sizes of an image and its segments, in pixels.

    Attributes:
        padding: of the image's border, which is taken.
        seed_distance: between the first tips of the two long contours.
        marker_radius: of the discs.
        length: of a segment, which the original calls a paddle.
        margin: around a segment.
        continuity: how much a contour prefers to go on straight.
        segments: of a long contour.
        short_segments: of a distractor.
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


_PATHFINDER = Geometry(32, 7, 1.5, 0.5, 5, contrast=1.5, short_contrast=2.0, length=2, margin=1, continuity=1.0)
_PATH_X = Geometry(128, 20, 3, 1.5, 8, contrast=0.9, short_contrast=0.9)
_PATH_X_256 = Geometry(256, 27, 5, 2, 7, contrast=1, short_contrast=1, padding=22)
GEOMETRIES = {32: (_PATHFINDER,), 128: (replace(_PATH_X, margin=2), _PATH_X), 256: (_PATH_X_256,)}
"""By pixels a side: the hard images (curv_contour_length_14) of the Arena; an image has one of these geometries."""


class Tables(NamedTuple):
    """The K ways in which a segment can lie: the 360 directions of a first one, then the U of later ones.

    Attributes:
        lines: (K, S, S) what is drawn, 0 to 1, around the tip from which it is drawn.
        masks: (K, S, S) what it takes.
        directions: (K,) radians.
        ends: (U, 2) tips of a later segment, as seen from its pivot.
        weights: (K, U) preference for a tip after a segment of each kind.
        disc: (D, D) 1 within the margin, else 0.
        structs: (360, R, R) around its tail, what must be free for a first segment; nowhere if none is ever found.
    """

    length: int
    margin: int
    lines: Floats
    masks: Floats
    directions: Floats
    ends: Whole
    weights: Floats
    disc: Floats
    structs: Flags


@lru_cache(maxsize=8)
def tables_of(geometry: Geometry) -> Tables:
    """The tables for a geometry."""
    from PIL import Image, ImageDraw  # comes with matplotlib
    from scipy import ndimage

    g, wide = geometry, geometry.length + geometry.margin
    reach = wide + math.ceil(g.thickness)

    def drawn(direction: float) -> tuple[Floats, Floats]:
        centre, side = reach * SCALE, 2 * reach * SCALE + 1
        y, x = (math.ceil(centre + g.length * SCALE * f(direction)) for f in (math.sin, math.cos))
        image = Image.new("F", (side, side), 0)
        ImageDraw.Draw(image).line([(centre, centre), (x, y)], fill=255, width=round(g.thickness * SCALE))
        line = np.asarray(image)
        taken = ndimage.maximum_filter(line, footprint=_disc(g.margin * SCALE), mode="constant", cval=0)
        return smaller(line, 2 * reach + 1), smaller(taken, 2 * reach + 1)

    angles = np.arange(0, 360, 360 / (2 * math.pi * wide)) * math.pi / 180  # as many as the circle has pixels
    ends = np.unique(np.floor(wide * np.stack((np.sin(angles), np.cos(angles)), axis=1)).astype(np.int64), axis=0)
    first, later = np.arange(-180, 180) * math.pi / 180, np.arctan2(ends[:, 0], ends[:, 1])
    directions = np.concatenate((first, later))
    stamps = [drawn(direction) for direction in (*first, *np.where(later < 0, later + math.pi, later - math.pi))]
    lines, masks = (np.stack(images) for images in zip(*stamps, strict=True))
    apart = np.abs(later - directions[:, None])
    turn = np.minimum(np.minimum(apart, 2 * math.pi - apart) * g.continuity, math.pi / 2)
    weights = np.maximum(np.cos(turn), 0) ** 2
    near = slice(reach - wide - 1, reach + wide)  # of the original: cut to (2 wide + 1)^2, one pixel off its centre
    structs = masks[:DEGREES, near, near] == 1
    # A pixel at a corner of the image sees a quarter of a struct. Where that is empty, the original's dilation gives it
    # minus infinity, and its search for free pixels then finds none at all.
    halves = (slice(wide + 1), slice(wide, None))
    structs[~np.all([structs[:, rows, columns].any(axis=(1, 2)) for rows in halves for columns in halves], axis=0)] = 0
    return Tables(g.length, g.margin, lines, masks, directions, ends, weights, _disc(g.margin).astype(float), structs)


def _disc(radius: int) -> Flags:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disc: Flags = x**2 + y**2 <= radius**2
    return disc


def smaller(image: NDArray[Any], side: int) -> Floats:
    """An image from 0 to 255 made smaller by Lanczos' filter, from 0 to 1."""
    from PIL import Image

    small = Image.fromarray(image.astype(np.uint8)).resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(small, dtype=np.float64) / 255


@compiled
def overlaid(image: Floats, stamp: Floats, y: int, x: int) -> tuple[Floats, Floats]:
    """The part of an image under a stamp around (y, x), and the part of the stamp that is inside the image; views."""
    size, top, left = len(image), y - len(stamp) // 2, x - len(stamp) // 2
    rows = slice(max(0, top), min(size, top + len(stamp)))
    columns = slice(max(0, left), min(size, left + len(stamp)))
    under = stamp[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return image[rows, columns], under


@compiled
def put(image: Floats, stamp: Floats, y: int, x: int) -> None:
    """Put a stamp around (y, x), where it is larger."""
    part, over = overlaid(image, stamp, y, x)
    part[:] = np.maximum(part, over)


@compiled
def free_tails(mask: Floats, border: int, struct: Flags) -> Whole:
    """Pixels (N, 2) at which a first segment may begin: all that it would take is free; row by row.

    Args:
        border: so many pixels along each edge count as taken.
        struct: (R, R) what it would take around its tail.
    """
    size, wide = len(mask), len(struct) // 2
    room = np.ones((size + 2 * wide, size + 2 * wide), dtype=np.bool_)  # what is outside the image does not count
    room[wide : wide + size, wide : wide + size] = False
    inner, shifted = slice(border, size - border), slice(border + wide, size - border + wide)
    room[shifted, shifted] = mask[inner, inner] <= FREE
    low, high = max(0, border - wide), min(size, size - border + wide)  # elsewhere a border is under the struct
    free = np.ones((high - low, high - low), dtype=np.bool_)
    for i, j in np.argwhere(struct):
        free &= room[low + i : high + i, low + j : high + j]
    return np.argwhere(free) + low


@compiled
def anchored(segment: Whole, kind: int, y: int, x: int, size: int, t: Tables) -> bool:
    """Set a contour's first segment, with its pivot behind the tip (y, x); whether it fits into the image."""
    direction = t.directions[kind]
    head_y = math.ceil(y + t.length * math.sin(direction))
    head_x = math.ceil(x + t.length * math.cos(direction))
    back = direction + math.pi if direction + math.pi < math.pi else direction - math.pi
    pivot_y = math.ceil(head_y + (t.length + t.margin) * math.sin(back))
    pivot_x = math.ceil(head_x + (t.length + t.margin) * math.cos(back))
    segment[:] = np.array([kind, y, x, pivot_y, pivot_x])
    return 0 <= head_y < size and 0 <= head_x < size and 0 <= pivot_y < size and 0 <= pivot_x < size


@compiled
def begin(rng: np.random.Generator, mask: Floats, border: int, segment: Whole, t: Tables) -> bool:
    """Set a first segment where there is room; whether there was."""
    for _ in range(RETRIES + 1):
        kind = int(rng.random() * DEGREES)
        if not t.structs[kind].any():
            return False
        tails = free_tails(mask, border, t.structs[kind])
        if len(tails) == 0:
            return False
        y, x = tails[int(rng.random() * len(tails))]
        if anchored(segment, kind, y, x, len(mask), t):
            return True
    return False


@compiled
def begin_beside(rng: np.random.Generator, size: int, distance: int, other: Whole, segment: Whole, t: Tables) -> bool:
    """Set a first segment at a distance from another one; whether it fits into the image."""
    for _ in range(RETRIES + 1):
        kind = int(rng.random() * DEGREES)
        angle = int(rng.random() * DEGREES) * math.pi / 180
        y = int(np.rint(other[1] + distance * math.sin(angle)))
        x = int(np.rint(other[2] + distance * math.cos(angle)))
        if anchored(segment, kind, y, x, size, t):
            return True
    return False


@compiled
def extend(rng: np.random.Generator, mask: Floats, last: Whole, segment: Whole, t: Tables) -> bool:
    """Set the segment behind the last one of a contour, which is then taken; whether there was room."""
    kind, size = last[0], len(mask)
    y = math.ceil(last[3] + (t.length + 2 * t.margin) * math.sin(t.directions[kind]))
    x = math.ceil(last[4] + (t.length + 2 * t.margin) * math.cos(t.directions[kind]))
    sums = np.zeros(len(t.ends))
    total = 0.0
    for k in range(len(sums)):
        v, u = y + t.ends[k, 0], x + t.ends[k, 1]
        if 0 <= v < size and 0 <= u < size and t.weights[kind, k] > 0:
            part, disc = overlaid(mask, t.disc, v, u)
            total += (1 - (part * disc).max()) * t.weights[kind, k]
        sums[k] = total
    if total < DEAD_END:
        return False
    for _ in range(RETRIES + 1):
        k = min(int(np.searchsorted(sums, rng.random() * total, side="right")), len(sums) - 1)
        v, u = y + t.ends[k, 0], x + t.ends[k, 1]
        part, own = overlaid(mask, t.masks[DEGREES + k], v, u)
        if (part + own).max() < OVERLAP:
            put(mask, t.masks[kind], last[1], last[2])
            segment[:] = np.array([DEGREES + k, v, u, y, x])
            return True
    return False


@compiled
def grow(rng: np.random.Generator, mask: Floats, contours: Whole, t: Tables) -> bool:
    """Let contours (C, segments, 5) grow by turns from their first segments; whether there was room for all.

    Of the last segments, that of the last contour alone is taken: the original forgets the others.
    """
    for number in range(1, contours.shape[1]):
        for contour in contours:
            if not extend(rng, mask, contour[number - 1], contour[number], t):
                return False
    kind, y, x = contours[-1, -1, :3]
    put(mask, t.masks[kind], y, x)
    return True


@compiled
def long_pair(
    rng: np.random.Generator, size: int, padding: int, distance: int, segments: int, t: Tables
) -> tuple[Floats, Whole, int]:
    """Two long contours, side by side; as many tries as it takes, since any failure begins anew.

    Returns:
        The mask, the segments (2, segments, 5), and how many tries it took.
    """
    pair = np.zeros((2, segments, 5), dtype=np.int64)
    empty = np.ones((size, size))
    empty[padding : size - padding, padding : size - padding] = 0
    tries = 0
    while True:
        tries += 1
        mask = empty.copy()
        if (
            begin(rng, mask, 2 * distance, pair[0, 0], t)
            and begin_beside(rng, size, distance, pair[0, 0], pair[1, 0], t)
            and grow(rng, mask, pair, t)
        ):
            return mask, pair, tries


@compiled
def short_contour(rng: np.random.Generator, mask: Floats, segments: int, t: Tables) -> Whole:
    """The segments (segments, 5) of a distractor, which ``mask`` then has; (0, 5) where there is no room."""
    contour = np.zeros((segments, 5), dtype=np.int64)
    if (mask <= FREE).sum() >= LEAST_FREE * mask.size:
        for _ in range(SHORT_RETRIES + 1):
            own = mask.copy()
            if begin(rng, own, 1, contour[0], t) and grow(rng, own, contour.reshape(1, -1, 5), t):
                mask[:] = own
                return contour
    return contour[:0]


class Drawing(NamedTuple):
    """An image of Pathfinder.

    Attributes:
        image: (size, size) uint8.
        connected: whether one contour joins both discs.
        contours: (2, segments, 5) of the long ones.
        tries: pairs that were begun until one was whole.
    """

    image: NDArray[np.uint8]
    connected: bool
    contours: Whole
    tries: int


def draw(geometry: Geometry, rng: np.random.Generator) -> Drawing:
    """Draw an image; every random number is from ``rng``."""
    g, t = geometry, tables_of(geometry)
    connected = rng.random() < 0.5
    mask, pair, tries = long_pair(rng, g.size, g.padding, g.seed_distance, g.segments, t)
    image = np.zeros((g.size, g.size))
    for kind, y, x in pair[..., :3].reshape(-1, 3):
        put(image, g.contrast * t.lines[kind], y, x)
    for _ in range(g.distractors):
        for kind, y, x in short_contour(rng, mask, g.short_segments, t)[:, :3]:
            put(image, g.short_contrast * t.lines[kind], y, x)
    origin = int(rng.random() < 0.5)
    end = origin if connected else 1 - origin
    rows, columns = np.ogrid[: g.size * SCALE, : g.size * SCALE]
    for y, x in (pair[origin, 0, 1:3], pair[end, -1, 1:3]):
        disc = (rows - y * SCALE) ** 2 + (columns - x * SCALE) ** 2 <= (g.marker_radius * SCALE) ** 2
        image = np.maximum(image, smaller(255 * disc, g.size))
    low, high = image.min(), image.max()
    scaled = (image - low) * (255 / (high - low))
    return Drawing((scaled.clip(0, 255) + 0.5).astype(np.uint8), connected, pair, tries)
