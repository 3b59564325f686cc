"""The trainings of the transplants: each cell of the matrix with a seed and a rate."""

from collections.abc import Sequence
from dataclasses import replace

from selfpretrain.arms.arm import Setting
from selfpretrain.arms.bias import SLOPE
from selfpretrain.arms.tuning import Candidate
from selfpretrain.errors import SettingError
from selfpretrain.explain.transplants.cells import Cell, cells
from selfpretrain.model.groups import ENCODER, present_groups
from selfpretrain.model.transformer import fresh_model
from selfpretrain.training.training import Start, Training


def matrix(setting: Setting, names: Sequence[str] | None = None) -> list[Cell]:
    """The cells for the model of a comparison.

    Args:
        names: of some of them, alone; None is all.

    Raises:
        SettingError: a name that no cell has.
    """
    model = fresh_model(setting.model, setting.task.inputs, seed=0)
    every = cells([group for group in present_groups(n for n, _ in model.named_parameters()) if group in ENCODER])
    known = {cell.name: cell for cell in every}
    for name in names or ():
        if name not in known:
            raise SettingError("cells", name, f"is no transplant here; they are {', '.join(known)}")
    return every if names is None else [cell for cell in every if cell.name in names]


def candidates(setting: Setting, cells: Sequence[Cell], seeds: Sequence[int], lr: float) -> list[Candidate]:
    """Something to tune and train for every cell.

    Args:
        lr: the rate of the donors' self-pretraining, the one that the arm spt picked.
    """
    return [_candidate(setting, cell, seeds, lr) for cell in cells]


def _candidate(setting: Setting, cell: Cell, seeds: Sequence[int], lr: float) -> Candidate:
    def train(seed: int, rate: float) -> Training:
        if cell.donor == "handmade":
            return setting.labels(seed, rate, proximity_bias=SLOPE, frozen=cell.frozen)
        donor = setting.pretraining(seed, lr)
        if cell.donor == "shuffled":
            assert donor.reconstruction is not None
            donor = replace(donor, reconstruction=replace(donor.reconstruction, control="shuffled"))
        start = Start(source=donor, groups=cell.taken, noise=cell.donor == "random", maps=cell.donor == "maps")
        return setting.labels(seed, rate, start=start, frozen=cell.frozen)

    return Candidate(cell.name, train, seeds)
