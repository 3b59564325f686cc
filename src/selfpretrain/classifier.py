"""A trained model as a folder, and back: what a person takes away and uses on raw rows.

model/
  config.json           settings of the model and its inputs; how many are averaged, if it is a mean of several; of a
                        classical model which features it sees
  codec.json            how raw rows become numbers, and the class names
  model.safetensors     the weights; or of a classical model
  model.skops           its transformer and estimator, as skops stores them: no pickle
  manifest.json, DONE   checksums
"""

import copy
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as tensors_from_bytes
from scipy.special import softmax

from selfpretrain.arms.classical import ClassicalModel
from selfpretrain.config import MAX_SEEDS, ModelConfig
from selfpretrain.data.codec import Codec
from selfpretrain.data.feed import evaluation_batches
from selfpretrain.data.kinds import KINDS, InputSpec
from selfpretrain.data.labels import typed_classes
from selfpretrain.data.sequences import Sequences
from selfpretrain.data.spelling import refuse
from selfpretrain.data.task import Split
from selfpretrain.errors import DamagedError, RequestError
from selfpretrain.files import (
    DONE,
    MANIFEST,
    Sealed,
    own_folder,
    read_record,
    seal,
    to_dict,
    write_atomically,
    write_json,
)
from selfpretrain.machine import require_memory
from selfpretrain.model.average import Average
from selfpretrain.model.borrowed import BorrowedAttention
from selfpretrain.model.ragged import ByLength
from selfpretrain.model.transformer import SequenceModel, fresh_model
from selfpretrain.train.objectives import predict_logits
from selfpretrain.train.store import weights_to_bytes

CONFIG, CODEC, WEIGHTS, ESTIMATOR = "config.json", "codec.json", "model.safetensors", "model.skops"
FILES = (CONFIG, CODEC, WEIGHTS, ESTIMATOR, MANIFEST, DONE)
TREE = "sklearn.tree._tree.Tree"
"""Read by skops only if it is trusted, since scikit-learn follows its indices unchecked; they are checked here."""
LEAF = -1
"""In the place of a child, in trees of scikit-learn."""
CPU = torch.device("cpu")


def probabilities_of(
    model: SequenceModel | BorrowedAttention | Average, rows: Split, device: torch.device
) -> NDArray[np.float64]:
    """Class probabilities of coded rows, (N, classes)."""
    logits, _ = predict_logits(
        ByLength(model.eval(), model.inputs.per_row), evaluation_batches(rows, device), model.inputs
    )
    probabilities: NDArray[np.float64] = softmax(logits, axis=1)
    return probabilities


@dataclass(frozen=True)
class Classifier:
    """A trained model with its codec."""

    codec: Codec
    model: SequenceModel | Average | ClassicalModel

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities' columns."""
        return self.codec.classes

    def predict_proba(self, rows: Any, where: Path | str = "rows") -> NDArray[np.float64]:
        """Class probabilities of raw rows, (N, classes).

        Args:
            rows: as in the training data: strings, lists or arrays, or an array or a tensor (N, T) or (N, T, C); lists
                of lists have channels. Where it had pairs, each row is (first, second). A frame's columns are found by
                the names that training had; others are not used.
            where: what to call them in a refusal.

        Raises:
            RequestError: rows that cannot be read as the model's training data were.
        """
        return self.probabilities_of(self.codec.parse(rows, where), where)

    def probabilities_of(self, sequences: Sequences, where: Path | str = "rows") -> NDArray[np.float64]:
        """The same of parsed rows; longer ones are cut to the longest of training."""
        cut = sequences.cut(self.codec.length)
        for place in np.flatnonzero(cut.throughout(self.codec.unknown(cut))):
            problem = "training had none of its symbols; the model would guess. Leave it out, or train with such rows"
            refuse(where, int(place) // self.codec.per_row, problem)
        x, lengths = self.codec.arrays(cut)
        count = len(x) // self.codec.per_row
        p = self.probabilities(Split(x, lengths, np.zeros(count, dtype=np.int64), per_row=self.codec.per_row))
        for row in np.flatnonzero(~np.isfinite(p).all(axis=1)):
            refuse(where, int(row), "the model gives no finite probabilities; mend its values, which are too large")
        return p

    def probabilities(self, coded: Split) -> NDArray[np.float64]:
        """The same of rows that went through ``codec``."""
        if isinstance(self.model, ClassicalModel):
            return self.model.probabilities(coded)
        return probabilities_of(self.model, coded, CPU)

    def predict(self, rows: Any) -> NDArray[Any]:
        """The class of each raw row (N,), in the type that the labels had: whole numbers, truth values or text."""
        names = typed_classes(self.classes, self.codec.schema)
        classes: NDArray[Any] = names[self.predict_proba(rows).argmax(axis=1)]
        return classes


def save_model(folder: Path, model: SequenceModel | Average | ClassicalModel, codec: Codec) -> None:
    """Write a model folder."""
    own_folder(folder)
    write_json(folder / CODEC, to_dict(codec))
    if not isinstance(model, ClassicalModel):
        averaged = {"averaged": len(model.models)} if isinstance(model, Average) else {}
        write_json(folder / CONFIG, {"model": to_dict(model.config), "inputs": to_dict(model.inputs), **averaged})
        write_atomically(folder / WEIGHTS, weights_to_bytes(model.state_dict()))
    else:
        _save_classical(folder, model)
    seal(folder, [name for name in (CONFIG, CODEC, WEIGHTS, ESTIMATOR) if (folder / name).exists()])


def _save_classical(folder: Path, model: ClassicalModel) -> None:
    import skops.io

    # Apart, since skops writes a vocabulary as one file a term: 20,000 terms take 40 s.
    transformer, terms = copy.copy(model.transformer), None
    if (vocabulary := vars(transformer).pop("vocabulary_", None)) is not None:
        terms = sorted(vocabulary, key=vocabulary.__getitem__)
    settings = {"kind": model.kind, "features": model.features, "per_row": model.per_row, "terms": terms}
    write_json(folder / CONFIG, {"classical": settings})
    data = skops.io.dumps([transformer, model.estimator], compression=zipfile.ZIP_DEFLATED)
    write_atomically(folder / ESTIMATOR, data)


def load_model(folder: Path | str) -> Classifier:
    """The classifier in a model folder, on the CPU.

    Raises:
        RequestError: there is none, or it is damaged.
    """
    folder = model_folder(folder)
    files = Sealed(folder)
    config, content = files.json(CONFIG), files.json(CODEC)
    if not isinstance(config, dict):
        raise DamagedError(folder / CONFIG)
    if isinstance(content, dict) and "reading" in content:  # the schema's name until 2026-11-29
        content["schema"] = content.pop("reading")
    codec = read_record(folder / CODEC, Codec, content)
    if not codec.classes or len(set(codec.classes)) < len(codec.classes):
        raise DamagedError(folder / CODEC)
    if "classical" in config:
        return Classifier(codec, _load_classical(files, config["classical"], codec))
    return Classifier(codec, _load_network(files, config, codec))


def model_folder(folder: Path | str) -> Path:
    """The folder of the model itself, where that of a comparison or a run was named.

    Raises:
        RequestError: there is none.
    """
    folder = Path(folder)
    for inner in ("best", "model"):
        if (folder / inner / CODEC).exists():
            folder = folder / inner  # a comparison's or a run's folder was named
    if not folder.is_dir():
        raise RequestError(f"{folder}: there is no such folder; name a comparison, or the model/ of a run")
    if not (folder / CODEC).exists():
        raise RequestError(f"{folder}: holds no model; name a comparison, or the model/ of a run that did not fail")
    return folder


def _load_network(files: Sealed, config: Mapping[str, Any], codec: Codec) -> SequenceModel | Average:
    """A network. Its sizes are compared with the weights before it is built: the folder may be somebody else's."""
    path = files.folder / CONFIG
    if not {"model", "inputs"} <= config.keys():
        raise DamagedError(path)
    settings, inputs = read_record(path, ModelConfig, config["model"]), read_record(path, InputSpec, config["inputs"])
    tensors = files.tensors(WEIGHTS, tensors_from_bytes)
    n_averaged, sizes = config.get("averaged", 0), {size for tensor in tensors.values() for size in tensor.shape}
    is_count = type(n_averaged) is int and 0 <= n_averaged <= MAX_SEEDS
    if not is_count or settings.depth * max(n_averaged, 1) > len(tensors):
        raise DamagedError(path)
    if (
        not settings.patch
        or not {settings.width, settings.hidden_width} <= sizes
        or inputs != replace(codec.inputs, patch=settings.patch)
    ):
        raise DamagedError(path)
    require_memory(4.0 * inputs.length * settings.width, path, "it does not fit into memory")
    try:
        networks = [fresh_model(settings, inputs, seed=0) for _ in range(n_averaged or 1)]
        whole = Average(networks) if n_averaged else networks[0]
        whole.load_state_dict(tensors)
    except (RuntimeError, ValueError):  # of torch, in many lines
        raise DamagedError(path) from None
    return whole.eval()


def _load_classical(files: Sealed, settings: Any, codec: Codec) -> ClassicalModel:
    """A classical model; whatever skops does not know, and trees that point beyond their nodes, are refused."""
    import skops.io

    path = files.folder / ESTIMATOR
    try:
        transformer, estimator = skops.io.loads(files.read(ESTIMATOR), trusted=[TREE])
        if settings["terms"] is not None:
            transformer.vocabulary_ = {term: index for index, term in enumerate(settings["terms"])}
        model = ClassicalModel(
            settings["kind"], settings["features"], transformer, estimator, per_row=settings["per_row"]
        )
        fits = model.kind == codec.kind and len(estimator.classes_) == len(codec.classes)
        if not fits or model.features not in KINDS[model.kind].views or not _is_safe(estimator):
            raise DamagedError(path)
    except DamagedError:
        raise
    except Exception as error:  # skops raises many
        raise DamagedError(path) from error
    return model


def _is_safe(estimator: Any) -> bool:
    """Whether an estimator is of a type that is saved here, and its trees are whole."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.semi_supervised import SelfTrainingClassifier
    from sklearn.tree import ExtraTreeClassifier

    inner = estimator.estimator_ if type(estimator) is SelfTrainingClassifier else estimator
    if type(inner) is ExtraTreesClassifier:
        return all(type(tree) is ExtraTreeClassifier and _is_whole(tree) for tree in inner.estimators_)
    return type(inner) in (LogisticRegression, MultinomialNB)


def _is_whole(estimator: Any) -> bool:
    """Whether the nodes of a tree point to later nodes and to features that it has, so that every walk ends."""
    tree = estimator.tree_
    inner = np.flatnonzero(tree.children_left != LEAF)
    children, features = np.stack([tree.children_left, tree.children_right])[:, inner], tree.feature[inner]
    return bool(
        (children > inner).all()
        and (children < tree.node_count).all()
        and (features >= 0).all()
        and (features < estimator.n_features_in_).all()
    )
