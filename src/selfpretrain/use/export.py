"""``selfpretrain export``: a network as ONNX, checked against torch, with its codec beside it."""

import json
import logging
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from selfpretrain.arms.classical import ClassicalModel
from selfpretrain.classifier import CODEC, Classifier
from selfpretrain.data.kinds import KINDS
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.files import own_folder, require_absent, to_dict, write_atomically
from selfpretrain.model.average import Average
from selfpretrain.model.transformer import SequenceModel

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-5
"""Probabilities of onnxruntime and of torch differ by no more (ours; float32)."""
CHECKED_ROWS = 5


class Probabilities(nn.Module):
    """What is exported: class probabilities (N, Y) of rows as the codec gives them.

    Shapes: N rows, S sequences of a row (left out where it is 1), T positions, as many as the longest training sequence
    has, C channels.
    """

    def __init__(self, model: SequenceModel | Average) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, keep_mask: Tensor) -> Tensor:
        """(N, Y).

        Args:
            x: ids (N, S, T) int64, or values (N, S, T, C) float32, padded with anything.
            keep_mask: (N, S, T), True = a real position.
        """
        inputs = self.model.inputs
        if inputs.per_row > 1:
            x, keep_mask = x.flatten(0, 1), keep_mask.flatten(0, 1)
        hidden = KINDS[inputs.kind].hide(x, None, inputs)
        logits = self.model(hidden, keep_mask).logits
        assert logits is not None, "labels were asked for"
        probabilities: Tensor = logits.softmax(-1)
        return probabilities


def export_onnx(model: Classifier, out: Path) -> float:
    """Write a network as ONNX, and ``codec.json`` beside it; gives how far its probabilities are from torch's, at most.

    The number of rows is free, that of positions fixed: the codec pads sequences to it.

    Raises:
        RequestError: a package is missing, the model is no network, or onnxruntime disagrees with torch.
    """
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise RequestError(f"export needs {', '.join(missing)}: pip install 'selfpretrain[onnx]'")
    if isinstance(model.model, ClassicalModel):
        problem = f"this is a classical model ({type(model.model.estimator).__name__}), and a network is exported"
        raise RequestError(f"{problem}; name that of a run, such as runs/spt-seed0")
    if out.suffix != ".onnx":
        raise SettingError("out", out, "cannot be written; name a file that ends in .onnx")
    require_absent(out)
    beside, codec = out.with_name(CODEC), json.dumps(to_dict(model.codec), indent=2) + "\n"
    if beside.exists() and not (beside.is_file() and beside.read_text() == codec):
        raise SettingError("out", out, f"would replace another {CODEC} beside it; name another folder")
    network = Probabilities(model.model).eval()
    data = _onnx(network)
    difference = _difference(network, data)
    if not difference <= TOLERANCE:
        raise RequestError(f"onnxruntime and torch differ by {difference:g}; nothing is written. Please report this")
    own_folder(out.parent)
    write_atomically(out, data, new=True)
    write_atomically(beside, codec)
    return difference


def _rows(network: Probabilities, rows: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Random rows of random lengths, among them the shortest and the longest."""
    inputs = network.model.inputs
    shape = (rows, *((inputs.per_row,) if inputs.per_row > 1 else ()), inputs.length)
    lengths = generator.integers(1, inputs.length + 1, size=shape[:-1])
    lengths.flat[0], lengths.flat[-1] = 1, inputs.length
    keep = np.arange(inputs.length) < lengths[..., None]
    if inputs.channels:
        x = torch.from_numpy(generator.normal(size=(*shape, inputs.channels)).astype(np.float32))
    else:
        x = torch.from_numpy(generator.integers(inputs.symbols + 1, size=shape))
    return x, torch.from_numpy(keep)


def _onnx(network: Probabilities) -> bytes:
    rows = torch.export.Dim("rows")
    example = _rows(network, 2, np.random.default_rng(0))
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # of packages that torch looks for and does not need
    try:
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
            warnings.simplefilter("ignore")
            path = Path(folder) / "model.onnx"
            program = torch.onnx.export(
                network,
                example,
                dynamo=True,
                verbose=False,
                input_names=["x", "keep_mask"],
                output_names=["probabilities"],
                dynamic_shapes=({0: rows}, {0: rows}),
            )
            assert program is not None, "it is of torch's newer exporter"
            program.save(path, external_data=False)
            return path.read_bytes()
    finally:
        logging.disable(before)


def _difference(network: Probabilities, data: bytes) -> float:
    """The largest difference of a probability between onnxruntime and torch."""
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    generator, largest = np.random.default_rng(1), 0.0
    for rows in (1, CHECKED_ROWS):
        x, keep = _rows(network, rows, generator)
        with torch.no_grad():
            expected = network(x, keep).numpy()
        (given,) = session.run(None, {"x": x.numpy(), "keep_mask": keep.numpy()})
        largest = max(largest, float(np.abs(given - expected).max()))
    return largest
