"""The matrix of transplants. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from selfpretrain.model.groups import ENCODER, Group

Donor = Literal["spt", "shuffled", "random", "handmade", "maps"]


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix.

    Attributes:
        donor: whose weights: of SPT, of SPT on shuffled sequences, noise of SPT's norm; or nobody's and a bias by hand,
            or nobody's and the attention maps of SPT all along.
        what: what is taken: a group, "all", "all but" a group, groups with "and" between them, or "proximity bias".
        taken: the groups of weights that come from the donor: what a model's groups make of ``what``. Cells that differ
            in it alone are equal.
        frozen: groups that stay as they start.
    """

    donor: Donor
    what: str
    taken: tuple[Group, ...] = field(compare=False)
    frozen: tuple[Group, ...] = ()

    @property
    def kind(self) -> str:
        """What is frozen, in a word or two."""
        if not self.frozen:
            return "free"
        return "frozen" if self.frozen == self.taken else f"{self.frozen[0]} frozen"

    @property
    def name(self) -> str:
        """Name of the cell and its folders."""
        return f"{self.donor}.{self.what}.{self.kind}".replace(" ", "-")

    @property
    def words(self) -> str:
        """For a figure.

        >>> Cell("random", "query-key", ("query-key",)).words
        'query-key noise of the same norm'
        """
        what = self.what.replace(" and ", " + ")
        words = {
            "spt": what,
            "shuffled": f"{what} from SPT on shuffled",
            "random": f"{what} noise of the same norm",
            "handmade": f"hand-made {what}",
            "maps": f"{what} of SPT, copied",
        }[self.donor]
        return words if not self.frozen else f"{words}, {self.kind}"


def alone(group: Group, *, frozen: bool = False) -> Cell:
    """One group from self-pretraining, and nothing else."""
    return Cell("spt", group, (group,), (group,) if frozen else ())


def all_but(group: Group, groups: Sequence[Group]) -> Cell:
    """Everything but one group."""
    return Cell("spt", f"all but {group}", tuple(other for other in groups if other != group), ())


QUERY_KEY: tuple[Group, ...] = ("query-key",)
NOISE = Cell("random", "query-key", QUERY_KEY)
SHUFFLED = Cell("shuffled", "query-key", QUERY_KEY)
MAPS = Cell("maps", "attention maps", ())
HANDMADE = Cell("handmade", "proximity bias", ())
HANDMADE_FROZEN = Cell("handmade", "proximity bias", (), QUERY_KEY)


def everything(groups: Sequence[Group], donor: Donor = "spt", frozen: Sequence[Group] = ()) -> Cell:
    """All groups of a donor."""
    return Cell(donor, "all", tuple(groups), tuple(frozen))


def cells(groups: Sequence[Group]) -> list[Cell]:
    """The matrix, for a model that has these groups in its encoder.

    Groups alone, what belongs together, everything, and everything but one; free and frozen. Then the controls:
    self-pretraining without any order to learn, noise of the same norm, attention maps that are copied while everything
    else learns, and a bias that nobody learnt.
    """
    inputs: tuple[Group, ...] = tuple(group for group in groups if group in ("embedding", "positions"))
    sets = [alone(group) for group in groups]
    if len(inputs) > 1:
        sets.append(Cell("spt", "embedding and positions", inputs))
    sets.append(Cell("spt", " and ".join((*inputs, *QUERY_KEY)), (*inputs, *QUERY_KEY)))
    sets += [all_but(group, groups) for group in groups]
    matrix = [cell for free in sets for cell in (free, Cell("spt", free.what, free.taken, free.taken))]
    matrix += [everything(groups, frozen=groups), everything(groups, frozen=QUERY_KEY)]
    matrix += [SHUFFLED, Cell("shuffled", "query-key", QUERY_KEY, QUERY_KEY)]
    matrix += [NOISE, Cell("random", "query-key", QUERY_KEY, QUERY_KEY)]
    return [*matrix, everything(groups, "shuffled"), MAPS, HANDMADE, HANDMADE_FROZEN]


@cache
def cells_by_name() -> dict[str, Cell]:
    """Every cell that some model has, whether its positions are weights or not."""
    without_positions = [group for group in ENCODER if group != "positions"]
    return {cell.name: cell for groups in (without_positions, ENCODER) for cell in cells(groups)}
