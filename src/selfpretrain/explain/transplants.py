"""The causal test: groups of self-pretrained weights in a fresh start, then label training.

Queries and keys mean something only in the residual stream that the embedding, the positions and the norms of the same
training write. So every transplant goes into the start of the donor's own seed. The optimiser starts anew, as in any
label training. "Nothing taken" is the arm scratch and "everything taken, free" the arm spt: both are in the comparison.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from pandas import DataFrame

from selfpretrain.arms.arm import Rates
from selfpretrain.arms.builtin import SLOPE
from selfpretrain.comparison.perform import perform
from selfpretrain.comparison.plan import Plan, chains
from selfpretrain.comparison.request import Request
from selfpretrain.comparison.run import Run
from selfpretrain.engines.engine import MakeEngine
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.explain.cells import Cell, cells
from selfpretrain.explain.subject import Subject
from selfpretrain.explain.table import Measurement
from selfpretrain.model.groups import ENCODER, present_groups
from selfpretrain.model.transformer import fresh_model
from selfpretrain.train.training import Start, Training
from selfpretrain.watch import Note, Watch


def conduct(
    subject: Subject, known: DataFrame | None, workers: int, engine: MakeEngine, watch: Watch
) -> list[Measurement] | None:
    """Train every cell with every seed, each with the rates that its own validation picks, and give accuracies.

    Trainings that exist are used again; a second call goes on where the first stopped. Cells that are known stay.

    Args:
        subject: what is diagnosed.
        known: rows of an earlier diagnosis.
        workers, engine: what trains.
        watch: gets progress, and why there is nothing to transplant.

    Returns:
        None if nothing is to be added to what is known.

    Raises:
        RequestError: no seed in which both scratch and spt ended well.
    """
    measured = set() if known is None else set(known["cell"].unique())
    asked = {cell.name for cell in matrix(subject.request, subject.config.cells)}
    if known is not None and asked <= measured:
        return None
    if (why := _obstacle(subject)) is not None:
        watch(Note(why))
        return None
    request, seeds = subject.request, _seeds(subject)
    chosen = {cell.name: cell for cell in matrix(request) if cell.name in asked | measured}
    plan = plan_of(request, list(chosen.values()), seeds)
    # Before the first is made, so that nobody takes for unused what an interrupted diagnosis goes on from.
    subject.comparison.write_transplants(
        [
            part.key
            for search in plan.searches.values()
            for rate in search.grid
            for part in chains([*search.pretrainings.values(), *search.labels(rate).values()]).values()
        ]
    )
    threads = request.config.train.threads
    with engine(subject.store, workers=workers, watch=watch, threads=threads, device=request.device) as running:
        performed = perform(plan, subject.comparison.transplants, subject.store, running, watch)
    return [
        measurement
        for name, runs in performed.runs.items()
        for run in runs
        for measurement in _measurements(chosen[name], run)
    ]


def _obstacle(subject: Subject) -> str | None:
    """Why this subject can have no transplants, or why they would have nothing to explain; None if it can."""
    if not subject.whole:
        return "transplants need a whole comparison, not a single run"
    lacking = [arm for arm in ("scratch", "spt") if arm not in subject.request.config.arms]
    if lacking:
        return f"transplants need the arms scratch and spt; this comparison has no {lacking[0]}"
    contrast = subject.summary.contrast("spt", "scratch")
    outcome = "not compared" if contrast is None else contrast.outcome
    if outcome != "helps":
        return f"no transplants: spt against scratch has the outcome '{outcome}', so there is no gain to carry"
    return None


def _seeds(subject: Subject) -> list[int]:
    """Reported seeds in which neither arm failed, the first so many of them."""
    both = [
        seed
        for seed in range(subject.request.config.seeds)
        if all(subject.run(arm, seed) is not None for arm in ("scratch", "spt"))
    ]
    if not both:
        raise RequestError(
            f"{subject.comparison.path}: no seed in which both scratch and spt ended well, so nothing to transplant"
        )
    return both[: subject.config.transplant_seeds]


def _measurements(cell: Cell, run: Run) -> Iterator[Measurement]:
    """Accuracies of one cell with one seed, and the rate that was picked for it; NaN where the run failed."""
    result = run.result
    one = Measurement(name="transplant_lr", values=result.lr, unit="1", seed=run.record.seed, cell=cell.name)
    accuracies = {
        "transplant_test_acc": None if result.test is None else result.test.acc,
        "transplant_train_acc": result.label.best_train_sample_acc,
    }
    for name, value in accuracies.items():
        yield replace(one, name=name, values=math.nan if value is None else value, unit="accuracy")
    yield one


def matrix(request: Request, names: Sequence[str] | None = None) -> list[Cell]:
    """The cells for the model of a comparison.

    Args:
        names: of some of them, alone; None is all.

    Raises:
        SettingError: a name that no cell has.
    """
    model = fresh_model(request.model, request.task.inputs, seed=0)
    every = cells([group for group in present_groups(n for n, _ in model.named_parameters()) if group in ENCODER])
    known = {cell.name: cell for cell in every}
    for name in names or ():
        if name not in known:
            raise SettingError("cells", name, f"is no transplant here; they are {', '.join(known)}")
    return every if names is None else [cell for cell in every if cell.name in names]


def plan_of(request: Request, cells: Sequence[Cell], seeds: Sequence[int]) -> Plan:
    """The plan of transplants of a comparison."""
    recipes = {cell.name: partial(_train, request, cell) for cell in cells}
    return Plan(request=request, recipes=recipes, seeds={cell.name: seeds for cell in cells})


def _train(request: Request, cell: Cell, seed: int, rates: Rates) -> Training:
    if cell.donor == "handmade":
        return request.labels(seed, rates.label, proximity_bias=SLOPE, frozen=cell.frozen)
    donor = request.pretraining(seed, rates.pretrain)
    if cell.donor == "shuffled":
        donor = replace(donor, settings={**donor.settings, "control": "shuffled"})
    start = Start(source=donor, groups=cell.taken, noise=cell.donor == "random", maps=cell.donor == "maps")
    return request.labels(seed, rates.label, start=start, frozen=cell.frozen)
