"""Pathfinder: images equal those of a slow generator on whole images, and have the statistics of the original."""

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from selfpretrain.arena import contours
from selfpretrain.arena.contours import GEOMETRIES, draw, tables_of
from selfpretrain.arena.pathfinder import Pathfinder, PathfinderSmall, PathX, PathX256Small
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError

N = 50


@pytest.fixture(scope="module")
def drawings():
    return [draw(GEOMETRIES[32][0], np.random.default_rng([5, number])) for number in range(N)]


# A slow generator: whole images, step by step as the original's description has it.


def dilated(image, struct):
    """The largest value under a struct around each pixel; minus infinity where the struct is outside altogether."""
    half, size = len(struct) // 2, len(image)
    out = np.full(image.shape, -np.inf)
    for y in range(size):
        for x in range(size):
            for i, j in np.argwhere(struct):
                v, u = y + i - half, x + j - half
                if 0 <= v < size and 0 <= u < size:
                    out[y, x] = max(out[y, x], image[v, u])
    return out


def disc(radius):
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return y**2 + x**2 <= radius**2


def moved(place, direction, distance):
    return [
        math.ceil(place[0] + distance * math.sin(direction)),
        math.ceil(place[1] + distance * math.cos(direction)),
    ]


def resized(image, side):
    return np.asarray(Image.fromarray(image.astype(np.uint8)).resize((side, side), Image.Resampling.LANCZOS)) / 255


def segment(g, size, start, direction):
    """A line, and the mask around it, on whole images."""
    reach = g.length + math.ceil(g.thickness) + g.margin
    y, x = moved([2 * reach, 2 * reach], direction, 2 * g.length)
    large = Image.new("F", (4 * reach + 1, 4 * reach + 1), "black")
    ImageDraw.Draw(large).line([(2 * reach, 2 * reach), (x, y)], fill="white", width=round(2 * g.thickness))
    around = ndimage.grey_dilation(np.asarray(large), footprint=disc(2 * g.margin), mode="constant", cval=0)
    out = []
    for small in (resized(np.asarray(large), 2 * reach + 1), resized(around, 2 * reach + 1)):
        whole = np.zeros((size + 4 * reach, size + 4 * reach))
        top, left = start[0] + reach, start[1] + reach
        whole[top : top + 2 * reach + 1, left : left + 2 * reach + 1] = small
        out.append(whole[2 * reach : 2 * reach + size, 2 * reach : 2 * reach + size])
    return out


def inside(place, size):
    return 0 <= place[0] < size and 0 <= place[1] < size


def turned(direction):
    return direction + math.pi if direction + math.pi < math.pi else direction - math.pi


class Slow:
    """Grows contours with the random numbers of ``rng``, in the order in which ours draws them."""

    def __init__(self, g, rng):
        self.g, self.rng, self.tries = g, rng, 0

    def degree(self):
        return (int(self.rng.random() * 360) - 180) * math.pi / 180

    def first(self, mask, border):
        """(tail, direction, pivot) or None."""
        g, size = self.g, self.g.size
        wide = g.length + g.margin
        for _ in range(3):
            direction = self.degree()
            struct = segment(g, 2 * wide + 1, [wide + 1, wide + 1], direction)[1] == 1
            lined = mask.copy()
            lined[:border] = lined[size - border :] = lined[:, :border] = lined[:, size - border :] = 1
            near = dilated(lined, struct)
            if np.isinf(near).any() or not (near <= 0.3).any():
                return None
            tails = np.argwhere(near <= 0.3)
            tail = tails[int(self.rng.random() * len(tails))].tolist()
            head = moved(tail, direction, g.length)
            pivot = moved(head, turned(direction), wide)
            if inside(head, size) and inside(pivot, size):
                return tail, direction, pivot
        return None

    def extended(self, mask, last, pivot, direction):
        """(mask, its own mask, line, pivot, direction, head) or None."""
        g, size, step = self.g, self.g.size, self.g.length + self.g.margin
        pivot = moved(pivot, direction, g.length + 2 * g.margin)
        near = dilated(mask, disc(g.margin))
        angles = np.arange(0, 360, 360 / (2 * math.pi * step)) * math.pi / 180
        y, x = pivot[0] + step * np.sin(angles), pivot[1] + step * np.cos(angles)
        keep = (y >= 0) & (y < size) & (x >= 0) & (x < size)
        ends = np.unique(np.stack((y, x), 1)[keep].astype(int), axis=0)
        if not len(ends):
            return None
        directions = np.arctan2(*(ends - pivot).T)
        turn = np.abs(directions - direction)
        turn = np.minimum(np.minimum(turn, 2 * math.pi - turn) * g.continuity, math.pi / 2)
        weights = (1 - near[tuple(ends.T)]) * np.maximum(np.cos(turn), 0) ** 2
        if weights.sum() < 1e-4:
            return None
        for _ in range(3):
            k = int(np.argmax(np.cumsum(weights) > self.rng.random() * weights.sum()))
            back = directions[k] + math.pi if directions[k] < 0 else directions[k] - math.pi
            line, own = segment(g, size, ends[k], back)
            if (mask + own).max() < 1.8:
                return np.maximum(mask, last), own, line, pivot, directions[k], ends[k].tolist()
        return None

    def pair(self):
        """The image of two long contours, the mask, their first and last tips."""
        g, size = self.g, self.g.size
        while True:
            self.tries += 1
            mask = np.zeros((size, size))
            p = g.padding
            mask[:p] = mask[size - p :] = mask[:, :p] = mask[:, size - p :] = 1
            one = self.first(mask, 2 * g.seed_distance)
            if one is None:
                continue
            other = None
            for _ in range(3):
                direction, angle = self.degree(), int(self.rng.random() * 360) * math.pi / 180
                tail = [
                    int(np.round(one[0][0] + g.seed_distance * math.sin(angle))),
                    int(np.round(one[0][1] + g.seed_distance * math.cos(angle))),
                ]
                head = moved(tail, direction, g.length)
                pivot = moved(head, turned(direction), g.length + g.margin)
                if inside(head, size) and inside(pivot, size):
                    other = tail, direction, pivot
                    break
            if other is None:
                continue
            pair = self.grown(mask, one, other)
            if pair is not None:
                return pair

    def grown(self, mask, one, other):
        g = self.g
        drawn = [segment(g, g.size, start[0], start[1]) for start in (one, other)]
        image = np.maximum(drawn[0][0], drawn[1][0])
        last, pivots, directions = [d[1] for d in drawn], [one[2], other[2]], [one[1], other[1]]
        tips = [None, None]
        for _ in range(g.segments - 1):
            for c in range(2):
                step = self.extended(mask, last[c], pivots[c], directions[c])
                if step is None:
                    return None
                mask, last[c], line, pivots[c], directions[c], tips[c] = step
                image = np.maximum(image, line)
        return image, np.maximum(mask, last[1]), [one[0], other[0]], tips

    def short(self, mask):
        """The image of a distractor and the mask, or None."""
        for _ in range(5):
            if (mask <= 0.3).mean() < 0.01:
                return None
            start = self.first(mask, 1)
            if start is None:
                continue
            own, (image, last), pivot, direction = mask, segment(self.g, self.g.size, *start[:2]), start[2], start[1]
            for _ in range(self.g.short_segments - 1):
                step = self.extended(own, last, pivot, direction)
                if step is None:
                    break
                own, last, line, pivot, direction, _ = step
                image = np.maximum(image, line)
            else:
                return image, np.maximum(own, last)
        return None

    def draw(self):
        """(image, connected)."""
        g = self.g
        connected = self.rng.random() < 0.5
        image, mask, first, last = self.pair()
        image = g.contrast * image
        for _ in range(g.distractors):
            distractor = self.short(mask)
            if distractor is not None:
                image, mask = np.maximum(image, g.short_contrast * distractor[0]), distractor[1]
        origin = int(self.rng.random() < 0.5)
        for y, x in (first[origin], last[origin if connected else 1 - origin]):
            v, u = np.mgrid[: 2 * g.size, : 2 * g.size]
            round_ = (v - 2 * y) ** 2 + (u - 2 * x) ** 2 <= (2 * g.marker_radius) ** 2
            image = np.maximum(image, resized(255 * round_, g.size))
        return ((image - image.min()) * 255 / (image.max() - image.min()) + 0.5).astype(np.uint8), connected


@pytest.mark.whole
@pytest.mark.parametrize("seed", [1, 3])
def test_images_equal_those_of_a_slow_generator(seed):
    """Few segments, so that few pairs are begun; everything else as in the Arena."""
    g = replace(GEOMETRIES[32][0], segments=6)
    slow = Slow(g, np.random.default_rng(seed))
    image, connected = slow.draw()
    ours = draw(g, np.random.default_rng(seed))
    assert (ours.tries, ours.connected) == (slow.tries, connected)
    assert np.abs(ours.image.astype(int) - image).max() <= 1


def test_statistics_are_those_of_the_original(drawings):
    """Of 500 images of the original: mean 20.3, shares above 0, 64 and 128 of 0.346, 0.127 and 0.085; 301 tries.

    Tolerances are about four standard errors of both.
    """
    images = np.stack([d.image for d in drawings])
    assert images.mean() == pytest.approx(20.3, abs=2.0)
    for level, share in ((0, 0.346), (64, 0.127), (128, 0.085)):
        assert (images > level).mean() == pytest.approx(share, rel=0.08)
    assert 150 < np.mean([d.tries for d in drawings]) < 450
    assert 0.3 < np.mean([d.connected for d in drawings]) < 0.7


def test_brightness_says_nothing_of_the_class(drawings):
    means = {c: [d.image.mean() for d in drawings if d.connected == c] for c in (False, True)}
    error = math.hypot(*(np.std(m) / math.sqrt(len(m)) for m in means.values()))
    assert abs(np.mean(means[True]) - np.mean(means[False])) < 4 * error


def test_contours_have_their_dashes_at_their_distance_and_do_not_turn_back(drawings):
    t = tables_of(GEOMETRIES[32][0])
    for drawing in drawings[:20]:
        assert drawing.contours.shape == (2, 14, 5)
        first, second = drawing.contours[:, 0, 1:3]
        assert abs(math.dist(first, second) - 7) <= 1
        for contour in drawing.contours:
            kinds = contour[:, 0]
            assert kinds[0] < 360 and (kinds[1:] >= 360).all()
            turns = np.diff(t.directions[kinds])
            assert (np.cos(turns) > 0).all()  # a weight of cos squared, and none beyond a right angle


def test_the_task_is_split_in_order_and_its_sister_has_means(monkeypatch):
    task = load_task("lra-pathfinder", sequences=20)
    assert [len(split) for split in (task.train, task.val, task.test)] == [16, 2, 2]
    assert (task.length, task.grid, task.classes) == (1024, (32, 32), ("apart", "connected"))
    rules = Pathfinder(), PathfinderSmall()
    whole, small = (rule.draw(np.arange(1))[0] for rule in rules)
    assert small.shape == (1, 256)
    assert small[0, 17] == pytest.approx(whole[0].reshape(32, 32)[2:4, 2:4].mean())
    monkeypatch.setattr(Pathfinder, "seconds_per_row", 0.11)
    monkeypatch.setattr(Pathfinder, "hint", ", and faster with numba")
    with pytest.raises(RequestError, match=r"take one core about 6 h .* to draw, and faster with numba; ask for fewer"):
        load_task("lra-pathfinder")


def test_path_x_has_the_settings_of_its_sizes_and_draws_the_room_around_a_dash(monkeypatch):
    """By the Arena's descriptions: padding 1, 20 pixels between tips; 22 and 27 at 256."""
    two, (large,) = GEOMETRIES[128], GEOMETRIES[256]
    assert [g.margin for g in two] == [2, 3]
    assert {(g.size, g.padding, g.seed_distance, g.length, g.distractors) for g in two} == {(128, 1, 20, 5, 8)}
    assert (large.size, large.padding, large.seed_distance, large.margin, large.distractors) == (256, 22, 27, 3, 7)
    seen = []

    def draw_nothing(geometry, generator):
        seen.append((geometry.size, geometry.margin))
        image = np.arange(geometry.size**2, dtype=np.uint32).reshape(geometry.size, -1) % 251
        return contours.Drawing(image.astype(np.uint8), bool(generator.random() < 0.5), np.zeros((2, 14, 3)), 1)

    monkeypatch.setattr(contours, "draw", draw_nothing)
    large = PathX().draw(np.arange(40))[0]
    assert large.shape == (40, 16384) and large.dtype == np.uint8
    assert 8 < sum(margin == 2 for _, margin in seen) < 32
    small = PathX256Small().draw(np.arange(20))[0]
    assert small.shape == (20, 1024) and small.dtype == np.float32
    whole = (np.arange(256**2) % 251).reshape(256, 256)
    assert small[0, 33] == whole[8:16, 8:16].mean()  # exactly


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "mean", "shares"), [(128, 7.9, (0.137, 0.040, 0.030)), (256, 2.95, (0.039, 0.014, 0.011))]
)
def test_statistics_of_path_x_are_those_of_the_original(side, mean, shares):
    """Of 20 images of the original at 128, and 12 at 256; within four standard errors of both, from our spread."""
    arenas, n = GEOMETRIES[side], 40 if contours.COMPILED else 8
    generators = [np.random.default_rng([11, number]) for number in range(n)]
    images = np.stack([draw(arenas[k % len(arenas)], g).image for k, g in enumerate(generators)]).reshape(n, -1)
    theirs = 20 if side == 128 else 12
    measured = [images.mean(axis=1), *((images > level).mean(axis=1) for level in (0, 64, 128))]
    for ours, original in zip(measured, (mean, *shares), strict=True):
        error = ours.std(ddof=1) * math.sqrt(1 / n + 1 / theirs)
        assert abs(ours.mean() - original) < 4 * error + 0.0005  # and what rounding took from the original's figure
