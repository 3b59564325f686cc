"""A trained model as a folder, and back: what a person takes away and uses on raw rows.

model/
  config.json           settings of the model, and its inputs
  codec.json            how raw rows become numbers, and the class names
  model.safetensors     the weights
  manifest.json, DONE   checksums
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as tensors_from_bytes
from scipy.special import softmax

from selfpretrain.config import ModelConfig
from selfpretrain.data.codec import Codec
from selfpretrain.data.feed import evaluation_batches
from selfpretrain.data.kinds import InputSpec
from selfpretrain.data.labels import typed_classes
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
from selfpretrain.model.borrowed import BorrowedAttention
from selfpretrain.model.ragged import ByLength
from selfpretrain.model.transformer import SequenceModel, fresh_model
from selfpretrain.train.objectives import predict_logits
from selfpretrain.train.store import weights_to_bytes

CONFIG, CODEC, WEIGHTS = "config.json", "codec.json", "model.safetensors"
FILES = (CONFIG, CODEC, WEIGHTS, MANIFEST, DONE)
CPU = torch.device("cpu")


def probabilities_of(
    model: SequenceModel | BorrowedAttention, rows: Split, device: torch.device
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
    model: SequenceModel

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities' columns."""
        return self.codec.classes

    def predict_proba(self, rows: Any) -> NDArray[np.float64]:
        """Class probabilities of raw rows, (N, classes).

        Args:
            rows: as in the training data: strings, lists or arrays, or an array or a tensor (N, T) or (N, T, C); lists
                of lists have channels. Where it had pairs, each row is (first, second). A frame's columns are found by
                the names that training had; others are not used.

        Raises:
            RequestError: rows that cannot be read as the model's training data were.
        """
        x, lengths = self.codec.encode(rows)
        count = len(x) // self.codec.per_row
        coded = Split(x, lengths, np.zeros(count, dtype=np.int64), per_row=self.codec.per_row)
        return probabilities_of(self.model, coded, CPU)

    def predict(self, rows: Any) -> NDArray[Any]:
        """The class of each raw row (N,), in the type that the labels had: whole numbers, truth values or text."""
        names = typed_classes(self.classes, self.codec.reading)
        classes: NDArray[Any] = names[self.predict_proba(rows).argmax(axis=1)]
        return classes


def save_model(folder: Path, model: SequenceModel, codec: Codec) -> None:
    """Write a model folder."""
    own_folder(folder)
    write_json(folder / CONFIG, {"model": to_dict(model.config), "inputs": to_dict(model.inputs)})
    write_json(folder / CODEC, to_dict(codec))
    write_atomically(folder / WEIGHTS, weights_to_bytes(model.state_dict()))
    seal(folder, (CONFIG, CODEC, WEIGHTS))


def load_model(folder: Path | str) -> Classifier:
    """The classifier in a model folder, on the CPU.

    Raises:
        RequestError: there is none, or it is damaged.
    """
    folder = Path(folder)
    if (folder / "model" / CODEC).exists():
        folder = folder / "model"  # a run's folder was named
    if not folder.is_dir():
        raise RequestError(f"{folder}: there is no such folder; name the model/ of a run")
    if not (folder / CODEC).exists():
        raise RequestError(f"{folder}: holds no model; name the model/ of a run that did not fail")
    files = Sealed(folder)
    config = files.json(CONFIG)
    if not isinstance(config, dict) or not {"model", "inputs"} <= config.keys():
        raise DamagedError(folder / CONFIG)
    settings = read_record(folder / CONFIG, ModelConfig, config["model"])
    model = fresh_model(settings, read_record(folder / CONFIG, InputSpec, config["inputs"]), seed=0)
    model.load_state_dict(tensors_from_bytes(files.read(WEIGHTS)))
    return Classifier(files.record(CODEC, Codec), model.eval())
