"""The causal test: groups of self-pretrained weights in a fresh start, then label training.

Queries and keys mean something only in the residual stream that the embedding, the positions and the norms of the same
training write. So every transplant goes into the start of the donor's own seed. The optimiser starts anew, as in any
label training. "Nothing taken" is the arm scratch and "everything taken, free" the arm spt: both are in the comparison.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from selfpretrain.arms.tuning import Candidate, tune_and_train, tuning_seeds
from selfpretrain.comparison.evaluation import EvaluateJob
from selfpretrain.comparison.runs import Run, RunRecord, run_name
from selfpretrain.engines.engine import MakeEngine
from selfpretrain.errors import RequestError
from selfpretrain.events import Watch
from selfpretrain.explain.measurement import Measurement, Row
from selfpretrain.explain.subject import Subject
from selfpretrain.explain.transplants.candidates import candidates, matrix
from selfpretrain.explain.transplants.cells import Cell
from selfpretrain.serial import from_dict, to_dict
from selfpretrain.storage import own_folder
from selfpretrain.training.laboratory import Laboratory
from selfpretrain.training.perform import Workshop
from selfpretrain.training.training import Training


def missing(subject: Subject, known: Sequence[Row]) -> bool:
    """Whether a cell that was asked for is not among what is known."""
    return not set(matrix(subject.setting, subject.config.cells)) <= _cells_of(known)


def _cells_of(rows: Sequence[Row]) -> set[Cell]:
    return {from_dict(Cell, row["of"]) for row in rows}


def conduct(
    subject: Subject, known: Sequence[Row], workers: int, engine: MakeEngine, watch: Watch
) -> list[Measurement]:
    """Train every cell with every learning rate on tuning seeds, then with the reported seeds, and give accuracies.

    Trainings that are there are found; a second call goes on where the first stopped. Cells that are known stay.

    Raises:
        RequestError: no seed in which both scratch and spt ended well.
    """
    task, settings = subject.task, subject.request.train
    setting, seeds = subject.setting, _seeds(subject)
    lr = next(run.labels.plan.lr for run in subject.runs if run.arm == "spt")
    shop = Workshop({task.fingerprint: task}, subject.store)
    asked, there = matrix(setting, subject.config.cells), _cells_of(known)
    chosen = [cell for cell in matrix(setting) if cell in asked or cell in there]
    root = own_folder(subject.comparison.transplants)

    def evaluate(candidate: Candidate, seed: int, training: Training | None) -> tuple[str, EvaluateJob]:
        record = RunRecord(arm=candidate.name, seed=seed, task=task.fingerprint, training=training)
        return f"{record.name} test", EvaluateJob(root / record.name, record)

    every = candidates(setting, chosen, seeds, lr)
    rates = [(seed, rate) for seed in (*tuning_seeds(settings), *seeds) for rate in settings.lr]
    wanted = {each.key for c in every if c.train for pair in rates for each in c.train(*pair).chain}
    # Before the first is made, so that nobody takes for unused what an interrupted diagnosis goes on from.
    subject.comparison.write_transplants(sorted({*subject.comparison.uses.transplants, *wanted}))
    with Laboratory(
        shop, settings=settings, device=setting.device, workers=workers, engine=engine, watch=watch
    ) as laboratory:
        tuned = tune_and_train(
            laboratory,
            every,
            settings=settings,
            n_val=len(task.val),
            snapshots=0,
            evaluate=evaluate,
            watch=watch,
        )
        subject.comparison.write_transplants(laboratory.used)
    return [
        measurement
        for cell in chosen
        for seed in seeds
        for measurement in _measurements(cell, Run(root / run_name(cell.name, seed)), tuned[cell.name].lr)
    ]


def _seeds(subject: Subject) -> list[int]:
    """Reported seeds in which neither arm failed, the first so many of them."""
    both = [
        seed
        for seed in range(subject.request.seeds)
        if all(subject.run(arm, seed) is not None for arm in ("scratch", "spt"))
    ]
    if not both:
        raise RequestError(
            f"{subject.comparison.path}: no seed in which both scratch and spt ended well, so nothing to transplant"
        )
    return both[: subject.config.transplant_seeds]


def _measurements(cell: Cell, run: Run, lr: float) -> Iterator[Measurement]:
    """Accuracies of one cell with one seed, and the rate that was picked for it; NaN where the run failed."""
    result, nothing = run.result, float("nan")
    one = Measurement(name="transplant_lr", values=lr, unit="1", seed=run.record.seed, of=to_dict(cell))
    accuracies = {
        "transplant_test_acc": nothing if result.test is None else result.test.acc,
        "transplant_train_acc": nothing if result.best_train_acc is None else result.best_train_acc,
    }
    for name, value in accuracies.items():
        yield replace(one, name=name, values=value, unit="accuracy")
    yield one
