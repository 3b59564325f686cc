"""Arms x seeds on one task, paired by seed: the main job."""

import dataclasses
import math
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import torch
from safetensors.torch import load_file as load_tensors

from selfpretrain.arms import COMPARISONS, RECIPES, perform, pick_device, plan_steps, run_flops
from selfpretrain.config import Arm, CompareConfig, RunConfig, to_dict
from selfpretrain.errors import RequestError
from selfpretrain.events import Note, Planned, Watch, ignore
from selfpretrain.runs import read_json, write_json
from selfpretrain.stats import accuracy_error
from selfpretrain.tasks import Task, load_task
from selfpretrain.verdict import Cause, Contrast, cause, contrast_from_runs, correct_for_number, sentences
from selfpretrain.workers import Workers

Result = dict[str, Any]
FIRST_TUNING_SEED = 10_000
"""Tuning seeds start here, so that no reported seed has helped to pick its own learning rate."""


@dataclass(frozen=True)
class Comparison:
    """A finished comparison: its folder, and summary.json as a dictionary."""

    folder: Path
    summary: dict[str, Any]


def compare(
    task: Task | None = None,
    config: CompareConfig | None = None,
    *,
    out: Path | str | None = None,
    workers: int = 1,
    watch: Watch = ignore,
    **settings: Any,
) -> Comparison:
    """Train every arm with every seed, compare them in pairs, and write the answer.

    Finished runs are kept: the same request in the same folder goes on where it stopped.

    Args:
        task: the sequences; None loads what ``config.task`` names.
        config: the request; None is the default.
        out: the folder; None is ``runs/<task>``.
        workers: processes on the CPU; above 1, a script needs the ``if __name__ == "__main__"`` guard.
        watch: gets progress.
        **settings: fields of ``CompareConfig`` that replace the config's.

    Raises:
        RequestError: settings or data that cannot be used, or a folder that belongs to another request.
    """
    config = dataclasses.replace(config or CompareConfig(), **settings)
    task = task or load_task(config.task)
    if task.config is not None:
        config = dataclasses.replace(config, task=task.config)
    device = pick_device(config.train.device)
    folder = Path(out) if out is not None else Path("runs") / task.name
    with _claim(folder, config, task):
        write_json(folder / "environment.json", _environment(device))
        for text in task.notes:
            watch(Note(text))
        tuning, reported = _plan_tuning(config, task), _plan_reported(config, task, lrs={})
        watch(Planned({run.name: run_flops(run, task) for run in (*tuning, *reported)}))
        count = min(workers, max(len(tuning), len(reported))) if device.type == "cpu" else 1
        with Workers(perform, (task, folder), count=count, watch=watch) as pool:
            lrs, tried = _pick_lrs(config, tuning, pool.do(tuning), len(task.val))
            for arm, lr in lrs.items():
                watch(Note(f"{arm}: learning rate {lr:g}" + (" picked on validation" if tuning else "")))
            reported = _plan_reported(config, task, lrs)
            results = pool.do(reported)
        by_arm = {arm: [r for run, r in zip(reported, results, strict=True) if run.arm == arm] for arm in config.arms}
        summary = _summarise(config, task, folder, by_arm, tried)
        write_json(folder / "summary.json", summary)
    return Comparison(folder, summary)


class _claim:
    """Make the folder ours, or refuse; holds a lock while work is going on."""

    def __init__(self, folder: Path, config: CompareConfig, task: Task) -> None:
        self._folder = folder
        request = to_dict(config) | ({"task": None} if task.config is None else {})
        self._request = {"request": request, "task": task.fingerprint}

    def __enter__(self) -> None:
        folder, known = self._folder, self._folder / "config.json"
        try:
            # Hidden files may be what is left of a start that was killed.
            others = folder.exists() and any(path.name[0] != "." for path in folder.iterdir())
            if others and not known.exists():
                raise RequestError(f"--out {folder} holds something else; name an empty or a new folder")
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RequestError(f"--out {folder}: cannot write there ({error.strerror}); name another --out") from None
        self._lock = filelock.FileLock(folder / ".lock", timeout=0)
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise RequestError(
                f"--out {folder}: another selfpretrain is at work there; wait, or name another folder"
            ) from None
        try:
            if known.exists():
                self._compare(known)
            write_json(known, self._request)
        except BaseException:
            self._lock.release()
            raise

    def _compare(self, known: Path) -> None:
        try:
            there = read_json(known)
        except ValueError:
            raise RequestError(f"--out {self._folder}: {known.name} there is damaged; name another folder") from None
        if there != self._request:
            raise RequestError(
                f"--out {self._folder} belongs to a different request ({_difference(there, self._request)}); "
                "name another folder, or delete this one"
            )

    def __exit__(self, *exception: object) -> None:
        self._lock.release()


def _difference(there: Any, here: Any, name: str = "") -> str:
    """The first setting in which two requests differ, in words."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in sorted({*there, *here}, key=lambda k: (k != "request", k)):
            if there.get(key) != here.get(key):
                return _difference(there.get(key), here.get(key), key)
    if name == "task":
        return "the data have changed"
    return f"{name} is {there!r} there and {here!r} here"


def _environment(device: torch.device) -> dict[str, Any]:
    """Versions, device, command line and commit."""
    packages = ("torch", "numpy", "scipy", "scikit-learn", "safetensors", "pyarrow")
    return {
        "selfpretrain": metadata.version("selfpretrain"),
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in packages},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "command": sys.argv,
    }


def _commit() -> str | None:
    """The commit of this source, where it is one: an installed package may lie in another project's repository."""
    here = Path(__file__)
    git = ("git", "-C", str(here.parent))
    try:
        for command in ((*git, "ls-files", "--error-unmatch", here.name), (*git, "rev-parse", "HEAD")):
            asked = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip()


def _plan_tuning(config: CompareConfig, task: Task) -> list[RunConfig]:
    """Every arm with every learning rate."""
    return [
        run_config(config, task, arm, seed, lr, tune=True)
        for seed in tuning_seeds(config)
        for arm in config.arms
        if not RECIPES[arm].linear
        for lr in config.train.lr
    ]


def _plan_reported(config: CompareConfig, task: Task, lrs: dict[Arm, float]) -> list[RunConfig]:
    """Every arm with every seed."""
    default = config.train.lr[0]
    return [
        run_config(config, task, arm, seed, lrs.get(arm, default))
        for seed in range(config.seeds)
        for arm in config.arms
    ]


def tuning_seeds(config: CompareConfig) -> list[int]:
    """Seeds that are never reported; none where there is only one rate to take."""
    return [FIRST_TUNING_SEED + k for k in range(config.train.tune_seeds)] if len(config.train.lr) > 1 else []


def run_config(config: CompareConfig, task: Task, arm: Arm, seed: int, lr: float, *, tune: bool = False) -> RunConfig:
    """A run of an arm as the comparison does it."""
    pretrain_steps, label_steps = plan_steps(config, arm, task)
    return RunConfig(
        arm=arm,
        seed=seed,
        lr=lr,
        purpose="tune" if tune else "report",
        pretrain_steps=pretrain_steps,
        label_steps=label_steps,
        **{name: getattr(config, name) for name in ("model", "objective", "pretrain", "label", "train")},
    )


def _pick_lrs(
    config: CompareConfig, runs: Sequence[RunConfig], results: Sequence[Result], n_val: int
) -> tuple[dict[Arm, float], dict[Arm, dict[str, float | None]]]:
    """The rate of each arm, and the mean validation accuracy of every rate it tried (None: a run failed).

    See ``pick_lr``.
    """
    lrs: dict[Arm, float] = {}
    tried: dict[Arm, dict[str, float | None]] = {}
    for arm in (arm for arm in config.arms if not RECIPES[arm].linear):
        mine = [(run.lr, result) for run, result in zip(runs, results, strict=True) if run.arm == arm]
        lrs[arm], scores = pick_lr(config.train.lr, mine, n_val)
        tried[arm] = {f"{lr:g}": scores.get(lr) for lr in sorted(config.train.lr) if runs}
    return lrs, tried


def pick_lr(
    grid: Sequence[float], tried: Sequence[tuple[float, Result]], n_val: int
) -> tuple[float, dict[float, float]]:
    """The learning rate to take, and the mean validation accuracy of every rate that no run failed with.

    The best mean validation accuracy wins. Rates within one standard error of it count as equal (the rule of
    Breiman et al. 1984); of equals the one nearest the middle of the grid is taken, the likeliest to do as well with
    other seeds (ours).

    Args:
        tried: rate and result of every tuning run.
        n_val: validation sequences.
    """
    middle = float(np.median(np.log(grid)))
    scores: dict[float, float] = {}
    for lr in grid:
        mine = [result for rate, result in tried if rate == lr]
        if mine and not any("failure" in result for result in mine):
            scores[lr] = float(np.mean([result["val_acc"] for result in mine]))
    best = max(scores.values(), default=0.0)
    equal = [lr for lr, score in scores.items() if score >= best - accuracy_error(best, n_val)]
    return min(equal or grid, key=lambda lr: abs(math.log(lr) - middle)), scores


def _summarise(
    config: CompareConfig,
    task: Task,
    folder: Path,
    by_arm: dict[Arm, list[Result]],
    tried: dict[Arm, dict[str, float | None]],
) -> dict[str, Any]:
    """The content of summary.json."""
    contrasts = correct_for_number(
        [c for names in COMPARISONS if (c := _contrast(*names, task, folder, by_arm)) is not None]
    )
    causes = [cause(c, _with_more_compute(c, contrasts)) for c in contrasts]
    arms = {arm: _arm_entry(results, tried.get(arm, {})) for arm, results in by_arm.items()}
    accuracies = {
        arm: {split: _mean(results, key) for split, key in (("train", "train_acc_reached"), ("test", "test_acc"))}
        for arm, results in by_arm.items()
    }
    return {
        "task": task.describe(),
        "arms": arms,
        "comparisons": [_comparison_entry(c, why) for c, why in zip(contrasts, causes, strict=True)],
        "verdict": sentences(contrasts, causes, accuracies, {arm: len(e["failures"]) for arm, e in arms.items()}),
    }


def _mean(results: Sequence[Result], key: str) -> float:
    numbers = [r[key] for r in results if key in r]
    return float(np.mean(numbers)) if numbers else float("nan")


def _contrast(
    arm: Arm, against: Arm, matched: str, task: Task, folder: Path, by_arm: dict[Arm, list[Result]]
) -> Contrast | None:
    """Compare two arms over the seeds in which neither failed; None where there is none."""
    if arm not in by_arm or against not in by_arm:
        return None
    pairs = []
    for seed, pair in enumerate(zip(by_arm[arm], by_arm[against], strict=True)):
        if not any("failure" in result for result in pair):
            names = (f"{arm}-seed{seed}", f"{against}-seed{seed}")
            hits = [_hits(folder / "runs" / name, task) for name in names]
            pairs.append([{**result, "correct": hit} for result, hit in zip(pair, hits, strict=True)])
    if not pairs:
        return None
    return contrast_from_runs(arm, against, matched, [a for a, _ in pairs], [b for _, b in pairs])


def _hits(run: Path, task: Task) -> Any:
    return load_tensors(run / "predictions.safetensors")["predicted"].numpy() == task.test.y


def _with_more_compute(contrast: Contrast, contrasts: Sequence[Contrast]) -> Contrast | None:
    """The comparison in which scratch has this arm's total compute, where that is the other arm."""
    if contrast.against not in ("scratch", "scratch-long"):
        return None
    return next((c for c in contrasts if c.arm == contrast.arm and c.matched == "total compute"), None)


def _arm_entry(results: Sequence[Result], tried: dict[str, float | None]) -> dict[str, Any]:
    """One arm's part of the summary; lists are per seed, None where a run failed."""
    per_seed = ("train_acc", "val_acc", "test_acc", "train_acc_reached", "steps_to_fit", "peak_memory_bytes")
    entry: dict[str, Any] = {key: [r.get(key) for r in results] for key in per_seed}
    good = [r for r in results if "failure" not in r]
    entry["lr"] = good[0].get("lr") if good else None
    entry["lr_tried"] = tried
    for key in ("steps_pretrain", "steps_label", "flops_pretrain", "flops_label"):
        entry[key] = round(float(np.mean([r.get(key, 0) for r in good]))) if good else 0
    entry["seconds"] = [
        None if "failure" in r else round(r["seconds_pretrain"] + r["seconds_label"], 3) for r in results
    ]
    entry["failures"] = {str(seed): r["failure"] for seed, r in enumerate(results) if "failure" in r}
    return entry


def _comparison_entry(contrast: Contrast, why: Cause) -> dict[str, Any]:
    """One entry of the summary's ``comparisons``."""
    return {
        "arm": contrast.arm,
        "against": contrast.against,
        "matched": contrast.matched,
        "effect": contrast.test.mean,
        "ci95": [contrast.test.low, contrast.test.high],
        "p": contrast.test.p,
        "p_holm": contrast.p_holm,
        "n_seeds": contrast.test.n,
        "ci95_examples": [contrast.examples.low, contrast.examples.high],
        "train_effect": contrast.train.mean,
        "train_ci95": [contrast.train.low, contrast.train.high],
        "compute_ratio": contrast.compute_ratio,
        "outcome": contrast.outcome,
        "cause": why,
    }
