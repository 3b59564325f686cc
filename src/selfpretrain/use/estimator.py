"""``SelfPretrainedClassifier``: self-pretraining and label training as an estimator of scikit-learn."""

import contextlib
import math
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from selfpretrain.arms.arm import Rates
from selfpretrain.classifier import CODEC, FILES, Classifier, load_model, save_model
from selfpretrain.comparison.budget import within
from selfpretrain.comparison.request import Request
from selfpretrain.comparison.search import Picked, Search, lowest
from selfpretrain.config import CompareConfig, TaskConfig
from selfpretrain.data.codec import Codec
from selfpretrain.data.labels import CLASS_OPTION, typed_classes
from selfpretrain.data.read import rows_in_memory
from selfpretrain.data.rows import assemble, parsed
from selfpretrain.data.schema import LabelType
from selfpretrain.data.task import Task
from selfpretrain.engines.local import LocalEngine
from selfpretrain.errors import DamagedError, RequestError, SettingError
from selfpretrain.files import DONE, MANIFEST, Sealed, from_dict, own_folder, to_dict, unseal, write_atomically
from selfpretrain.machine import cores
from selfpretrain.model.groups import GROUPS
from selfpretrain.model.transformer import SequenceModel
from selfpretrain.registry import ARMS, PRESETS
from selfpretrain.train.store import Store
from selfpretrain.train.training import Start, Training
from selfpretrain.train.work import TrainJob, model_of, training_cost
from selfpretrain.watch import Planned, Watch, Watcher, ignore

OF_MODEL = ("width", "heads", "depth", "patch", "positions", "pooling", "dropout")
STRUCTURAL = ("preset", "kind", "axes", "allow_missing", *OF_MODEL)
"""Parameters that pretrained weights depend on."""
FEWEST_ROWS = 8
"""Fewer cannot be pretrained on (ours)."""
LARGEST_SEED = 2**31 - 1


class Pretrained(NamedTuple):
    """What ``pretrain`` leaves: its parameters, how rows became numbers, the training, and its files by name."""

    structure: dict[str, Any]
    codec: Codec
    training: Training
    files: dict[str, bytes]


class SelfPretrainedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A Transformer for sequences, trained to fill in hidden positions of its training sequences and then on labels.

    ``fit(X, y)`` does both on the same rows; rows whose label is None or NaN, or -1 beside two other whole numbers, are
    used by self-pretraining alone. After ``pretrain(X)``, ``fit`` starts from those weights, each time it is called.
    15% of the rows are held out: they pick the learning rates and the checkpoint.

    ``X`` is a list of texts, of lists or of arrays of any lengths, an array (N, T) or (N, T, C), or a frame with a
    column a step. The kind of data is inferred (``kind`` says it).

    Args:
        arm: spt, or scratch for labels alone, or any other arm that trains a network.
        preset: model, learning rates and steps where nothing else is given.
        kind: symbols, bytes or values; None guesses.
        axes: order of the axes of arrays with channels: ntc, or nct as aeon and sktime have it.
        allow_missing: False, or mean, last or mask: how gaps are filled.
        pretrain_steps, label_steps, batch_size, lr, mask_ratio: of training; lr is one rate or several to try.
        width, heads, depth, patch, positions, pooling, dropout: of the model.
        metric: what validation picks by.
        class_weights: none, or balanced.
        max_seconds: about so long ``fit`` takes: steps and rates are cut to it.
        max_length: longer sequences are cut to it; None cuts at 1,024 positions. A warning says how many were.
        random_state: seed of the split, the initialisation, the masks and the batches; None is 0.
        n_jobs: trainings at a time, as joblib counts; a script then needs the ``if __name__ == "__main__"`` guard.
        verbose: show progress; None: where standard error is a terminal.

    Attributes:
        classes_: in the order of the columns of ``predict_proba``, in the type of ``y``.
        model_: the ``Classifier``, as ``load_model`` gives it.
        validation_score_: of the metric, on the rows that were held out and picked the model.
        lr_: the learning rate that they picked.
        n_features_in_, feature_names_in_: of arrays (N, T) and of frames, which later rows must then have, too.

    >>> X = [["a", "b"] * n for n in range(2, 22)] + [["c"] * n for n in range(2, 22)]
    >>> few = SelfPretrainedClassifier(pretrain_steps=2, label_steps=30, lr=0.01, width=8, depth=1)
    >>> few.fit(X, ["two"] * 20 + ["one"] * 20).predict([["a", "b"], ["c", "c"]]).tolist()
    ['two', 'one']
    """

    def __init__(
        self,
        *,
        arm: str = "spt",
        preset: str = "standard",
        kind: str | None = None,
        axes: str | None = None,
        allow_missing: Any = False,
        pretrain_steps: int | None = None,
        label_steps: int | None = None,
        batch_size: int | None = None,
        lr: float | Sequence[float] | None = None,
        mask_ratio: float | None = None,
        width: int | None = None,
        heads: int | None = None,
        depth: int | None = None,
        patch: int | None = None,
        positions: str | None = None,
        pooling: str | None = None,
        dropout: float | None = None,
        metric: str = "accuracy",
        class_weights: str = "none",
        max_seconds: float | None = None,
        max_length: int | None = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: bool | None = None,
    ) -> None:
        self.arm = arm
        self.preset = preset
        self.kind = kind
        self.axes = axes
        self.allow_missing = allow_missing
        self.pretrain_steps = pretrain_steps
        self.label_steps = label_steps
        self.batch_size = batch_size
        self.lr = lr
        self.mask_ratio = mask_ratio
        self.width = width
        self.heads = heads
        self.depth = depth
        self.patch = patch
        self.positions = positions
        self.pooling = pooling
        self.dropout = dropout
        self.metric = metric
        self.class_weights = class_weights
        self.max_seconds = max_seconds
        self.max_length = max_length
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def pretrain(self, X: Any, *, continue_: bool = False) -> Self:
        """Self-pretrain on sequences without labels. A second call begins anew unless ``continue_``."""
        before = getattr(self, "pretrained_", None) if continue_ else None
        if continue_ and before is None:
            raise RequestError("pretrain(continue_=True): nothing is pretrained yet; call pretrain(X) first")
        seed, begun = self._seed(), time.monotonic()
        # A task has classes, which self-pretraining never sees: these stand in.
        if _count(X) < FEWEST_ROWS:
            raise RequestError(f"pretrain: {_count(X)} rows; give {FEWEST_ROWS} or more, some are held out")
        stand_ins = [f"stand-in {row % 2}" for row in range(_count(X))]
        task = self._task(X, stand_ins, seed, before)
        request = self._request(task, "spt", begun, before)
        with self._working(request, before) as (store, do):
            start = None if before is None else Start(source=before.training, groups=GROUPS)
            grid = request.config.train.lr
            trainings = {lr: replace(request.pretraining(seed, lr), start=start) for lr in grid}
            do(list(trainings.values()))
            results = {lr: store.finished(training).result for lr, training in trainings.items()}
            losses = {lr: result.val_reconstruction for lr, result in results.items()}  # None where it failed
            picked = lowest(losses, lambda loss: (loss,), grid)
            if losses[picked] is None:
                raise RequestError(f"self-pretraining failed: {results[picked].failure}")
            best = trainings[picked]
            folder = store.path(best)
            files = {name: (folder / name).read_bytes() for name in (*Sealed(folder).names, MANIFEST, DONE)}
        self.pretrained_ = Pretrained({name: getattr(self, name) for name in STRUCTURAL}, task.codec, best, files)
        return self

    def fit(self, X: Any, y: Any) -> Self:
        """Self-pretrain, unless ``pretrain`` was called before, and train on labels."""
        begun, seed = time.monotonic(), self._seed()
        self._check_features(X, reset=True)
        classes, labels = _encoded(y)
        before: Pretrained | None = getattr(self, "pretrained_", None)
        if before is not None and self.arm != "spt":
            raise RequestError(f"arm {self.arm} does not start from pretrained weights; use a new estimator for it")
        task = self._task(X, labels, seed, before)
        request = self._request(task, self.arm if before is None else "scratch", begun, before)
        arm_recipe = ARMS[self.arm].recipe
        if arm_recipe is None:
            raise RequestError(f"arm {self.arm} trains no network; take spt, scratch or another")
        recipe: Callable[[int, Rates], Training] = partial(arm_recipe, request)
        if before is not None:
            start = Start(source=before.training)

            def recipe(seed: int, rates: Rates) -> Training:
                return request.labels(seed, rates.label, start=start)

        search = Search(recipe, seed, request.config.train.lr)
        with self._working(request, before) as (store, do):
            while not isinstance(step := search.step(lambda part: _result(store, part)), Picked):
                do(step)
            finished = store.finished(step.training)
            result = finished.result
            if result.failure is not None or result.val is None:
                raise RequestError(f"training failed: {result.failure}")
            model = model_of(step.training, task.inputs)
            model.load_state_dict(finished.weights)
        assert isinstance(model, SequenceModel), "no arm borrows attention"
        named = replace(task.codec.schema, label_type=_label_type(classes), written={}, unlabelled=None)
        names = tuple(str(name) for name in classes.tolist())
        self._take(Classifier(replace(task.codec, classes=names, schema=named), model.eval()))
        self.validation_score_, self.lr_ = result.val.rank[0], step.training.plan.lr
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The class of each row, (N,)."""
        probabilities = self.predict_proba(X)
        classes: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return classes

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Class probabilities, (N, classes)."""
        check_is_fitted(self, "model_")
        self._check_features(X, reset=False)
        return self.model_.predict_proba(X, "X")[:, self._order]

    def set_params(self, **params: Any) -> Self:
        """As scikit-learn has it; what pretrained weights depend on cannot change under them."""
        _check_structure(getattr(self, "pretrained_", None), {**self.get_params(), **params})
        super().set_params(**params)
        return self

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the fitted model as a folder for ``load_model``, ``from_pretrained`` and ``selfpretrain predict``."""
        check_is_fitted(self, "model_")
        folder = Path(folder)
        if folder.is_dir() and any(folder.iterdir()):
            with contextlib.suppress(DamagedError):
                if CODEC in Sealed(folder).names:
                    unseal(folder, FILES)
            if any(folder.iterdir()):
                raise RequestError(f"{folder}: holds something else than a model; name an empty or a new folder")
        save_model(folder, self.model_.model, self.model_.codec)

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> Self:
        """A fitted estimator from a model folder or the folder of a comparison; pickles are never read."""
        estimator = cls()
        estimator._take(load_model(folder))
        return estimator

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = bool(self.allow_missing)
        return tags

    def _take(self, model: Classifier) -> None:
        self.model_ = model
        classes = typed_classes(model.classes, model.codec.schema)
        self._order = np.argsort(classes, kind="stable")
        """Columns of the model in the order of ``classes_``, which is that of ``numpy.unique``."""
        self.classes_ = classes[self._order]

    def _check_features(self, X: Any, *, reset: bool) -> None:
        """The number and the names of columns, where rows have a fixed number."""
        shape: tuple[int, ...] = getattr(X, "shape", ())
        if len(shape) == 2:
            if shape[1] == 0:
                raise RequestError(f"X has 0 feature(s) (shape={shape}) while a minimum of 1 is required.")
            validate_data(self, X, reset=reset, skip_check_array=True)
        elif reset:
            for name in ("n_features_in_", "feature_names_in_"):
                if hasattr(self, name):
                    delattr(self, name)

    def _seed(self) -> int:
        if self.random_state is None or isinstance(self.random_state, int | np.integer):
            return int(self.random_state or 0)
        return int(check_random_state(self.random_state).randint(LARGEST_SEED))

    def _task(self, X: Any, y: Any, seed: int, before: Pretrained | None) -> Task:
        """The task of rows; says what was cut of them."""
        _check_structure(before, self.get_params())
        codec = None if before is None else before.codec
        config = TaskConfig(
            data="arrays",
            unlabelled=CLASS_OPTION,
            max_length=self.max_length,
            kind=self.kind if codec is None else codec.kind,  # type: ignore[arg-type]
            axes=self.axes,  # type: ignore[arg-type]
            allow_missing=self.allow_missing,
            data_seed=seed,
            train_on_test=True,
        )
        rows = parsed("arrays", rows_in_memory(X, y, None, None, config), config)
        task = assemble("arrays", "arrays", rows, config, codec)
        for note in task.notes:
            if "were cut" in note or note.startswith("warning: "):
                warnings.warn(note.removeprefix("warning: "), stacklevel=3)
        return task

    def _request(self, task: Task, arm: str, begun: float, before: Pretrained | None) -> Request:
        """What is trained, cut to ``max_seconds``."""
        given = {
            "train.lr": None if self.lr is None else tuple(np.atleast_1d(self.lr).tolist()),
            "pretrain.duration": None if self.pretrain_steps is None else f"{self.pretrain_steps}steps",
            "label.duration": None if self.label_steps is None else f"{self.label_steps}steps",
            **{f"{phase}.batch_size": self.batch_size for phase in ("pretrain", "label")},
            "objective.mask_ratio": self.mask_ratio,
            **{f"model.{name}": getattr(self, name) for name in OF_MODEL},
        }
        if not isinstance(self.preset, str):
            raise SettingError("preset", self.preset, f"is no text; the presets are {', '.join(PRESETS)}")
        config = _with(PRESETS[self.preset].config, {name: value for name, value in given.items() if value is not None})
        config = replace(
            config,
            arms=(arm,),
            seeds=1,
            metric=self.metric,  # type: ignore[arg-type]
            class_weights=self.class_weights,  # type: ignore[arg-type]
        )
        config = from_dict(CompareConfig, to_dict(config))  # of the right types
        if before is not None:  # of which the size of patches may have been left open
            config = replace(config, model=replace(config.model, patch=before.training.model.patch))
        request = Request.of(task, config)
        if self.max_seconds is None:
            return request
        keep = {"seeds", "model.patch", *(name for name, value in given.items() if value is not None)}
        how: dict[str, Any] = {"begun": begun, "workers": self._workers(), "watch": ignore}
        try:
            return within(request, f"{self.max_seconds:g}s", keep, **how).request
        except SettingError as error:
            why = error.problem.partition(";")[0]
            raise RequestError(f"max_seconds={self.max_seconds:g} {why}; give more, or a smaller model") from None

    def _workers(self) -> int:
        return max(1, min(int(effective_n_jobs(self.n_jobs)), cores()))

    @contextmanager
    def _working(
        self, request: Request, before: Pretrained | None
    ) -> "Iterator[tuple[Store, Callable[[Sequence[Training]], None]]]":
        """A store for a while, with the pretrained weights, and what does trainings in it."""
        shown = sys.stderr.isatty() if self.verbose is None else self.verbose
        with tempfile.TemporaryDirectory(prefix="selfpretrain-") as folder, _watching(shown) as watch:
            store = Store(Path(folder), {request.task.fingerprint: request.task})
            if before is not None:
                for name, data in before.files.items():
                    path = store.path(before.training) / name
                    own_folder(path.parent)
                    write_atomically(path, data)
            settings = request.config.train
            with LocalEngine(
                store, workers=self._workers(), watch=watch, threads=settings.threads, device=request.device
            ) as engine:

                def do(trainings: Sequence[Training]) -> None:
                    jobs = [
                        TrainJob(
                            name=f"{training.phase} lr {training.plan.lr:g}",
                            training=training,
                            checkpoint_seconds=math.inf,  # the folder ends with this call
                            recompute=settings.recompute,
                        )
                        for training in trainings
                    ]
                    watch(Planned({job.name: training_cost(job.training, request.task) for job in jobs}))
                    engine.do(jobs)

                yield store, do


def _watching(shown: bool) -> AbstractContextManager[Watch]:
    if not shown:
        return nullcontext(ignore)
    from rich.console import Console

    return Watcher(Console(stderr=True))


def _with(config: CompareConfig, given: dict[str, Any]) -> CompareConfig:
    """A config with settings by their dotted names."""
    for name, value in given.items():
        group, setting = name.split(".")
        config = replace(config, **{group: replace(getattr(config, group), **{setting: value})})
    return config


def _result(store: Store, training: Training) -> Any:
    return store.finished(training).result if store.has(training) else None


def _count(X: Any) -> int:
    shape = getattr(X, "shape", None)
    return int(shape[0]) if shape else len(X)


def _check_structure(before: Pretrained | None, params: dict[str, Any]) -> None:
    """Refuse parameters under which pretrained weights would no longer fit."""
    if before is None:
        return
    if changed := [name for name, value in before.structure.items() if params[name] != value]:
        why = "cannot change, since the pretrained weights depend on it; sklearn.base.clone gives a new estimator"
        raise RequestError(f"{', '.join(changed)} {why}")


def _encoded(y: Any) -> tuple[NDArray[Any], list[str | None]]:
    """The classes in the order of ``numpy.unique``, and the number of each row's class as a text; None without a label.

    What scikit-learn takes for a regression is refused. Beside two other whole numbers, -1 is no label.
    """
    if y is None:
        raise ValueError("this classifier requires y to be passed, but the target y is None")
    given = column_or_1d(y, warn=True, dtype=object) if getattr(y, "ndim", 1) > 1 else np.asarray(y, dtype=object)
    missing = np.array(
        [label is None or type(label).__name__ == "NAType" or label != label for label in given], dtype=np.bool_
    )
    labels = given[~missing].tolist()
    kept = np.array(labels)
    if kept.dtype.kind in "US" and not all(isinstance(label, str) for label in labels):
        raise ValueError("y mixes texts and other labels; give all of one type")
    check_classification_targets(kept)
    classes = np.unique(kept)
    if kept.dtype.kind == "i" and len(classes) > 2 and -1 in classes:
        missing[~missing] = kept == -1
        classes = classes[classes != -1]
    number = {label: str(place) for place, label in enumerate(classes.tolist())}
    return classes, [None if is_missing else number[label] for label, is_missing in zip(given, missing, strict=True)]


def _label_type(classes: NDArray[Any]) -> LabelType:
    kinds: dict[str, LabelType] = {"b": "bool", "i": "int", "u": "int", "f": "float"}
    return kinds.get(classes.dtype.kind, "str")
