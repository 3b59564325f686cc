"""A study that fits a budget of time: its steps are multiplied, and everything else stays."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from selfpretrain.comparison.budget import MAX_SHARE, MIN_SHARE, SPARE, WAVER, timed
from selfpretrain.comparison.plan import Plan
from selfpretrain.comparison.request import Request
from selfpretrain.config import seconds_of, time_for
from selfpretrain.data.task import Task
from selfpretrain.errors import SettingError
from selfpretrain.studies.study import Case, times
from selfpretrain.watch import Note, Watch, duration_text


def shares_within(
    budget: str,
    cases: Sequence[Case],
    tasks: Mapping[str, Task],
    costs: Sequence[float],
    known: Mapping[str, float],
    *,
    begun: float,
    workers: int,
    watch: Watch,
) -> dict[str, float]:
    """By how much to multiply the steps of a study, for each data set, so that its cases keep their proportions.

    Data sets get the same time each. Classical models and diagnoses are not timed.

    Args:
        budget: a time, like 30m.
        tasks: the data of each case, by its name; cases without any are left out.
        costs: FLOPs that each case adds to those before it, since shared trainings run once.
        known: what an earlier run of the same cases came to, for data that were there. Timed anew it would be a little
            other, and nothing would go on.
        begun: when the command began, on the monotonic clock.

    Raises:
        SettingError: the time is too short.
    """
    data_sets = {case.task.data for case in cases if case.name in tasks}
    if data_sets <= known.keys():
        return dict(known)
    seconds = seconds_of(budget)
    watch(Note(f"timing some steps of every comparison, to fit {budget}"))
    took: dict[str, float] = defaultdict(float)
    for case, cost in zip(cases, costs, strict=True):
        if case.name in tasks and case.task.data not in known and cost:
            plan = timed(Plan.of(Request(case.request, tasks[case.name])), workers=workers, watch=watch)
            took[case.task.data] += (plan.seconds or 0.0) * cost / plan.total_cost
    left = (1 - SPARE) * (seconds - (time.monotonic() - begun))
    if left < MIN_SHARE * (needed := len(data_sets) * max(took.values(), default=0.0)):
        least = seconds + (MIN_SHARE * needed - left) / (1 - SPARE)
        problem = f"is too short: the study needs about {duration_text(least)} at least"
        raise SettingError("budget", budget, f"{problem}; give {time_for(WAVER * least)}")
    return {**known, **{data: min(MAX_SHARE, left / len(data_sets) / one) for data, one in took.items()}}


def multiplied(case: Case, share: float) -> Case:
    """The case with so many times its steps."""
    config = case.config
    for phase in ("pretrain", "label"):
        config = times(config, phase, share)
    return replace(case, config=config)
