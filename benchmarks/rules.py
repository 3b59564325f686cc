"""What rules for doing less would save and cost, replayed on the trainings of finished comparisons.

    python benchmarks/rules.py runs/words runs/digits ...

Two rules are replayed on the validations that the folders hold, without training anything:

* **drop**: after some of the steps the worse half of the rates of a search is dropped. Saved: steps. Cost: how often
  the rate that wins at the end is among the dropped, and what validation then loses.
* **settle**: self-pretraining ends when validations in a row have lowered its best loss by less than a share of what
  it has learnt so far, compared with the loss without context. Saved: steps. Cost: the share of the learnt that is
  missing.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from selfpretrain.files import Sealed, is_sealed
from selfpretrain.train.training import Row, Training, TrainingResult

DROP_AFTER = (0.2, 0.3, 0.5)
SETTLE = ((0.02, 1), (0.02, 2), (0.05, 2))
LEARNT = 0.02
"""Share of the loss without context below which nothing has settled yet: it may still be on a plateau."""


@dataclass(frozen=True)
class Past:
    """A finished training."""

    training: Training
    rows: Sequence[Row]
    result: TrainingResult

    def best(self, share: float) -> tuple[float, ...]:
        """The best validation within the first share of the steps, as searches compare them."""
        rows = [row for row in self.rows if row["step"] <= share * self.training.plan.steps + 1]
        if self.training.phase == "pretrain":
            return (max((-row["val_loss"] for row in rows), default=-np.inf),)
        return max(((row["val_acc"], -row["val_loss"]) for row in rows), default=(-np.inf,))


def pasts(folder: Path) -> Iterator[Past]:
    for path in sorted((folder / "trainings").iterdir()):
        if is_sealed(path):
            files = Sealed(path)
            result = files.record("result.json", TrainingResult)
            if result.failure is None:
                yield Past(files.record("config.json", Training), files.lines("metrics.jsonl"), result)


def searches(past: Sequence[Past]) -> list[list[Past]]:
    """Trainings that differ in their rate alone."""
    by_what: dict[Any, list[Past]] = defaultdict(list)
    for one in past:
        t = one.training
        source = None if t.source is None else t.source.key
        by_what[t.task, t.phase, t.objective, t.seed, t.plan.steps, source].append(one)
    return [group for group in by_what.values() if len(group) > 1]


def drop(groups: Sequence[list[Past]], share: float) -> str:
    lost, cost, saved = 0, [], []
    for group in groups:
        ranked = sorted(group, key=lambda one: one.best(share), reverse=True)
        kept = ranked[: (len(ranked) + 1) // 2]
        winner = max(group, key=lambda one: one.best(1.0))
        lost += winner not in kept
        cost.append(winner.best(1.0)[0] - max(one.best(1.0)[0] for one in kept))
        saved.append((1 - share) * (len(group) - len(kept)) / len(group))
    return f"{np.mean(saved):.0%} | {lost} of {len(groups)} | {np.mean(cost):.4f} | {np.max(cost):.4f}"


def settle(past: Sequence[Past], share: float, patience: int) -> str:
    saved, missing = [], []
    for one in past:
        without = one.result.val_without_context
        assert without is not None
        best = np.minimum.accumulate([row["val_loss"] for row in one.rows])
        gained = without - best
        stops = (
            step
            for step in range(patience, len(best))
            if gained[step] > LEARNT * without and best[step - patience] - best[step] < share * gained[step]
        )
        stop = next(stops, len(best) - 1)
        saved.append(1 - one.rows[stop]["step"] / one.rows[-1]["step"])
        missing.append((best[stop] - best[-1]) / max(gained[-1], 1e-9))
    return f"{np.mean(saved):.0%} | {np.mean(missing):.1%} | {np.max(missing):.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    folders = {path.name: list(pasts(path)) for path in parser.parse_args().folders}
    print("| data | dropped after | steps saved | winner dropped | validation lost, mean | worst |")
    for name, past in folders.items():
        for phase in ("pretrain", "label"):
            groups = searches([one for one in past if one.training.phase == phase])
            for share in DROP_AFTER if groups else ():
                print(f"| {name}, {phase} | {share:.0%} | {drop(groups, share)} |")
    print("\n| data | settled below | validations | steps saved | of the learnt missing, mean | worst |")
    for name, past in folders.items():
        masked = [one for one in past if one.result.val_without_context is not None]
        for share, patience in SETTLE if masked else ():
            print(f"| {name} | {share:.0%} | {patience} | {settle(masked, share, patience)} |")


if __name__ == "__main__":
    main()
