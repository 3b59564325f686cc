"""The causal test: groups of self-pretrained weights in a fresh start, then label training.

    transplants/
      runs/<cell>-seed<k>/     a cell of the matrix with one seed: <donor>.<groups>.<what is frozen>
      tuning/                  every cell with every learning rate, on seeds that are not reported
      shuffled/                self-pretraining on sequences whose positions were shuffled: a donor

Queries and keys mean something only in the residual stream that the embedding, the positions and the norms of the same
run write, so every transplant goes into the start of the donor's own seed. The optimiser starts anew, as in any label
training. "Nothing taken" is the arm scratch and "everything taken, free" the arm spt: both are in the comparison.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from selfpretrain.arms import build_model, perform, pick_device, run_flops
from selfpretrain.comparison import pick_lr, run_config, tuning_seeds
from selfpretrain.config import ModelConfig, RunConfig, TransplantConfig
from selfpretrain.diagnosis.evidence import outcome_of
from selfpretrain.diagnosis.measurement import Measurement
from selfpretrain.diagnosis.subject import Subject
from selfpretrain.errors import RequestError
from selfpretrain.events import Note, Planned, Watch
from selfpretrain.runs import PRETRAINED
from selfpretrain.tasks.task import shuffled
from selfpretrain.transfer import ENCODER, present_groups
from selfpretrain.workers import Workers

Donor = Literal["spt", "shuffled", "random", "handmade"]
HANDMADE_SLOPE = 2.0
"""Score per position of the hand-made bias (ours: of .25 to 4 the one that did best on the validation data of the
built-in task, over four seeds that are never reported)."""


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix.

    Attributes:
        says: what is taken, in words.
        taken: groups of weights that come from the donor.
        frozen: groups that stay as they start.
    """

    donor: Donor
    says: str
    taken: tuple[str, ...]
    frozen: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the cell and its folders."""
        kind = "free" if not self.frozen else "frozen" if self.frozen == self.taken else f"{self.frozen[0]}-frozen"
        return f"{self.donor}.{self.says.replace(' ', '-')}.{kind}"


def cells(groups: Sequence[str]) -> list[Cell]:
    """The matrix, for a model that has these groups in its encoder.

    Groups alone, what belongs together, everything, and everything but one; free and frozen. Then the controls:
    self-pretraining without any order to learn, noise of the same norm, and a bias that nobody learnt.
    """
    inputs = tuple(group for group in groups if group in ("embedding", "positions"))
    query_key = ("query-key",)
    sets: dict[str, tuple[str, ...]] = {group: (group,) for group in groups}
    if len(inputs) > 1:
        sets["embedding and positions"] = inputs
    sets[" and ".join((*inputs, *query_key))] = (*inputs, *query_key)
    sets |= {f"all but {group}": tuple(g for g in groups if g != group) for group in groups}
    matrix = [Cell("spt", says, taken, frozen) for says, taken in sets.items() for frozen in ((), taken)]
    matrix += [Cell("spt", "all", tuple(groups), frozen) for frozen in (tuple(groups), query_key)]
    for donor in ("shuffled", "random"):
        matrix += [Cell(donor, "query-key", query_key, frozen) for frozen in ((), query_key)]
    matrix.append(Cell("shuffled", "all", tuple(groups)))
    matrix += [Cell("handmade", "proximity bias", (), frozen) for frozen in ((), query_key)]
    return matrix


def run_transplants(subject: Subject, *, workers: int, watch: Watch) -> list[Measurement]:
    """Train every cell with every learning rate on tuning seeds, then with the reported seeds, and give accuracies.

    Finished runs are kept: a second call goes on where the first stopped.

    Raises:
        RequestError: the comparison lacks an arm or weights that the matrix needs.
    """
    config, task, root = subject.request, subject.task, subject.root / "transplants"
    seeds, tuning = _seeds(subject), tuning_seeds(config)
    model = build_model(run_config(config, task, "scratch", 0, config.train.lr[0]), task)
    groups = [group for group in present_groups(model) if group in ENCODER]
    matrix = cells(groups)
    donors = [_shuffled_donor(subject, seed) for seed in (*tuning, *seeds)]
    trials = [(cell, seed, lr) for seed in tuning for cell in matrix for lr in config.train.lr]
    planned = [(cell, seed, config.train.lr[0]) for seed in seeds for cell in matrix]
    runs = [
        *donors,
        *(_cell_run(subject, *trial, tune=True) for trial in trials),
        *(_cell_run(subject, *plan, tune=False) for plan in planned),
    ]
    watch(Planned({run.name: run_flops(run, task) for run in runs}))
    workers = workers if pick_device(config.train.device).type == "cpu" else 1
    # Order that is lost stays lost: one shuffling serves all seeds, so that workers share one task.
    with Workers(perform, (shuffled(task, 0), root / "shuffled"), count=workers, watch=watch) as pool:
        made = dict(zip((*tuning, *seeds), pool.do(donors), strict=True))
    for seed in (seed for seed, result in made.items() if "failure" in result):
        watch(Note(f"seed {seed}: self-pretraining on shuffled sequences failed ({made[seed]['failure']}); left out"))

    def has_donor(cell: Cell, seed: int) -> bool:
        return cell.donor != "shuffled" or "failure" not in made[seed]

    with Workers(perform, (task, root), count=workers, watch=watch) as pool:
        trials = [trial for trial in trials if has_donor(*trial[:2])]
        tried = pool.do([_cell_run(subject, *trial, tune=True) for trial in trials])
        lrs = {}
        for cell in matrix:
            mine = [(lr, result) for (c, _, lr), result in zip(trials, tried, strict=True) if c == cell]
            lrs[cell], _ = pick_lr(config.train.lr, mine, len(task.val))
        final = [(cell, seed, lrs[cell]) for cell, seed, _ in planned if has_donor(cell, seed)]
        results = pool.do([_cell_run(subject, *one, tune=False) for one in final])
    return [row for one, result in zip(final, results, strict=True) for row in _measurements(*one, result)]


def missing(subject: Subject) -> str | None:
    """Why this subject can have no transplants, or why they would have nothing to explain; None if it can."""
    if not subject.whole:
        return "transplants need a whole comparison, not a single run"
    lacking = [arm for arm in ("scratch", "spt") if arm not in subject.request.arms]
    if lacking:
        return f"transplants need the arms scratch and spt; this comparison has no {lacking[0]}"
    outcome = outcome_of(subject.summary)
    if outcome != "helps":
        return f"no transplants: spt against scratch has the outcome '{outcome}', so there is no gain to carry"
    return None


def _seeds(subject: Subject) -> list[int]:
    """Reported seeds in which neither arm failed, the first so many of them."""
    both = [
        seed
        for seed in range(subject.request.seeds)
        if all(subject.run(arm, seed) is not None for arm in ("scratch", "spt"))
    ]
    if not both:
        raise RequestError(
            f"{subject.root}: no seed in which both scratch and spt ended well, so nothing to transplant"
        )
    return both[: subject.config.transplant_seeds]


def _spt_lr(subject: Subject) -> float:
    return next(run.config.lr for run in subject.runs if run.config.arm == "spt")


def _cell_run(subject: Subject, cell: Cell, seed: int, lr: float, *, tune: bool) -> RunConfig:
    """A cell with one seed and one rate."""
    model: ModelConfig = subject.request.model
    if cell.donor == "handmade":
        model = replace(model, proximity_bias=HANDMADE_SLOPE)
    transplant = TransplantConfig(
        name=cell.name,
        groups=cell.taken,
        source=_source(subject, cell, seed, tune=tune),
        random=cell.donor == "random",
        frozen=cell.frozen,
    )
    run = run_config(subject.request, subject.task, "scratch", seed, lr, tune=tune)
    return replace(run, model=model, transplant=transplant)


def _source(subject: Subject, cell: Cell, seed: int, *, tune: bool) -> Path | None:
    """The donor's folder, as seen from the folder of the cell's run (three levels below the comparison's)."""
    if cell.donor == "handmade":
        return None
    if cell.donor == "shuffled":
        return Path("../..") / "shuffled" / "tuning" / _shuffled_donor(subject, seed).name
    name = f"spt-seed{seed}" + (f"-lr{_spt_lr(subject):g}" if tune else "")
    source = Path("tuning" if tune else "runs") / name
    if not (subject.root / source / "checkpoint" / PRETRAINED).exists():
        raise RequestError(
            f"{subject.root / source}: has no self-pretrained weights; run compare again in a new folder"
        )
    return Path("../../..") / source


def _shuffled_donor(subject: Subject, seed: int) -> RunConfig:
    """Self-pretraining as the arm spt does it; a single label step follows, because every run ends with labels.

    It counts as a run that tunes, so that it never sees test data.
    """
    run = run_config(subject.request, subject.task, "spt", seed, _spt_lr(subject), tune=True)
    return replace(run, label_steps=1)


def _measurements(cell: Cell, seed: int, lr: float, result: Mapping[str, Any]) -> Iterator[Measurement]:
    """Accuracies of one cell with one seed, and the rate that was picked for it; NaN where the run failed."""
    where: dict[str, Any] = {"seed": seed, "group": cell.name, "step": result.get("selected_step")}
    for name, key in (("transplant_test_acc", "test_acc"), ("transplant_train_acc", "train_acc_reached")):
        yield Measurement(name=name, values=result.get(key, float("nan")), unit="accuracy", **where)
    yield Measurement(name="transplant_lr", values=lr, unit="1", **where)
