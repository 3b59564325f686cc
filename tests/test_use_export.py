"""What is exported gives the probabilities that torch gives, from raw rows to classes."""

import numpy as np
import onnxruntime
import pytest

from conftest import TINY_MODEL
from selfpretrain.arms.classical import fit_classical
from selfpretrain.classifier import Classifier
from selfpretrain.data.codec import Codec
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError
from selfpretrain.files import read_record
from selfpretrain.model.transformer import fresh_model
from selfpretrain.use import export
from selfpretrain.use.export import export_onnx

RNG = np.random.default_rng(0)
ROWS = {
    "symbols": [[str(s) for s in RNG.integers(4, size=n)] for n in RNG.integers(2, 9, size=60)],
    "values": [RNG.normal(size=(n, 2)) for n in RNG.integers(2, 9, size=60)],
    "pairs": [("".join(RNG.choice(list("abc"), size=n)), "xyz") for n in RNG.integers(2, 9, size=60)],
}


def untrained(rows, **changes):
    task = load_task(rows, ["a", "b", "c"] * 20)
    config = {"width": 12, "heads": 3, "depth": 2} | changes
    return Classifier(task.codec, fresh_model(type(TINY_MODEL)(**config), task.codec.inputs, seed=0).eval())


@pytest.mark.whole
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("symbols", {"positions": "rotary", "pooling": "cls"}),
        pytest.param("values", {"attention_block": 3, "pooling": "last", "positions": "alibi"}, marks=pytest.mark.slow),
        pytest.param("pairs", {"pooling": "max", "label_head": "mlp"}, marks=pytest.mark.slow),
        pytest.param("values", {"patch": 3}, marks=pytest.mark.slow),
        pytest.param("symbols", {"patch": 4}, marks=pytest.mark.slow),
    ],
)
def test_raw_rows_get_the_same_probabilities_from_onnxruntime(tmp_path, kind, changes):
    model, path = untrained(ROWS[kind], **changes), tmp_path / "new" / "model.onnx"
    assert export_onnx(model, path) < 1e-6
    # As docs/use.md has it:
    session, codec = onnxruntime.InferenceSession(path), read_record(path.with_name("codec.json"), Codec)
    x, lengths = codec.encode(ROWS[kind])
    keep = np.arange(codec.length) < lengths[:, None]
    x = x if x.dtype == np.float32 else x.astype(np.int64)
    if codec.per_row == 2:
        x, keep = x.reshape(-1, 2, *x.shape[1:]), keep.reshape(-1, 2, codec.length)
    (probabilities,) = session.run(None, {"x": x, "keep_mask": keep})
    np.testing.assert_allclose(probabilities, model.predict_proba(ROWS[kind]), atol=1e-6)
    with pytest.raises(RequestError, match="is there; name another file"):
        export_onnx(model, path)


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(tmp_path, monkeypatch):
    task = load_task(ROWS["symbols"], ["a", "b", "c"] * 20)
    classical, network = Classifier(task.codec, fit_classical(task).model), untrained(ROWS["symbols"])
    with pytest.raises(RequestError, match=r"a classical model \(\w+\), and a network is exported; name that of a run"):
        export_onnx(classical, tmp_path / "m.onnx")
    with pytest.raises(RequestError, match=r"name a file that ends in \.onnx"):
        export_onnx(network, tmp_path / "m.pt")
    (tmp_path / "codec.json").write_text("{}")
    with pytest.raises(RequestError, match=r"would replace another codec\.json beside it"):
        export_onnx(network, tmp_path / "m.onnx")
    monkeypatch.setattr(export, "_onnx", lambda network: b"")
    monkeypatch.setattr(export, "_difference", lambda network, data: float("nan"))
    with pytest.raises(RequestError, match="onnxruntime and torch differ by nan; nothing is written"):
        export_onnx(network, tmp_path / "other" / "m.onnx")
    monkeypatch.setattr(export, "PACKAGES", ("onnx", "no_such_package"))
    with pytest.raises(RequestError, match=r"export needs no_such_package: pip install 'selfpretrain\[onnx\]'"):
        export_onnx(network, tmp_path / "m.onnx")
    assert [path.name for path in tmp_path.rglob("*")] == ["codec.json"]
