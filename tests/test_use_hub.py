"""Models on the hub: a stand-in of its three calls keeps repositories in a folder."""

import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from selfpretrain.classifier import WEIGHTS, Classifier, load_model, save_model
from selfpretrain.config import ModelConfig
from selfpretrain.errors import RequestError
from selfpretrain.model.transformer import fresh_model
from selfpretrain.use.hub import pull_from_hub, push_to_hub


class Hub:
    """What huggingface_hub (2.4) does with these arguments, without a network."""

    def __init__(self, folder):
        self.folder, self.private = folder, None

    def create_repo(self, repo_id, *, token=None, private=None, exist_ok=False):
        (self.folder / repo_id).mkdir(parents=True, exist_ok=exist_ok)
        self.private = private
        return f"https://hub/{repo_id}"

    def upload_folder(self, *, repo_id, folder_path, token=None, allow_patterns=None):
        for path in folder_path.iterdir():
            if path.name in allow_patterns:
                shutil.copy(path, self.folder / repo_id / path.name)

    def snapshot_download(self, repo_id, *, local_dir, revision=None, token=None):
        if not (self.folder / repo_id).is_dir():
            raise OSError("404 Client Error.\nRepository Not Found")
        shutil.copytree(self.folder / repo_id, local_dir, dirs_exist_ok=True)
        (local_dir / ".cache").mkdir()  # as the real one leaves it


@pytest.fixture
def hub(tmp_path, monkeypatch):
    stand_in = Hub(tmp_path / "hub")
    names = ("create_repo", "upload_folder", "snapshot_download")
    monkeypatch.setitem(
        sys.modules, "huggingface_hub", SimpleNamespace(**{name: getattr(stand_in, name) for name in names})
    )
    return stand_in


@pytest.fixture
def model(tmp_path, tiny_task):
    own = Classifier(tiny_task.codec, fresh_model(ModelConfig(width=8, heads=2), tiny_task.codec.inputs, seed=0).eval())
    save_model(tmp_path / "o/best", own.model, own.codec)
    (tmp_path / "o/best/README.md").write_text("a card")
    return own


def test_a_model_comes_back_as_it_was_and_what_lies_beside_it_stays_here(tmp_path, hub, model):
    (tmp_path / "o/best/secret.txt").write_text("mine")
    assert push_to_hub(tmp_path / "o", "me/mine", private=True) == "https://hub/me/mine"
    assert hub.private is True
    uploaded = {path.name for path in (tmp_path / "hub/me/mine").iterdir()}
    assert "README.md" in uploaded and "secret.txt" not in uploaded
    folder = pull_from_hub("me/mine", tmp_path / "theirs")
    rows = [[0, 1, 2, 3], [3, 2, 1, 0]]
    np.testing.assert_array_equal(load_model(folder).predict_proba(rows), model.predict_proba(rows))


def test_what_is_no_model_is_refused_in_both_directions(tmp_path, hub, model):
    with pytest.raises(RequestError, match="there is no such folder"):
        push_to_hub(tmp_path / "nowhere", "me/mine")
    weights = tmp_path / "o/best" / WEIGHTS
    push_to_hub(tmp_path / "o", "me/mine")
    (tmp_path / "hub/me/mine" / weights.name).write_bytes(b"other weights")
    with pytest.raises(RequestError, match="damaged"):
        pull_from_hub("me/mine", tmp_path / "theirs")
    weights.write_bytes(b"damaged")
    with pytest.raises(RequestError, match="damaged"):
        push_to_hub(tmp_path / "o", "me/other")
    assert not (tmp_path / "hub/me/other").exists()


def test_a_folder_that_holds_something_and_a_name_that_is_not_there_are_refused(tmp_path, hub, model):
    with pytest.raises(RequestError, match="holds something already"):
        pull_from_hub("me/mine", tmp_path / "o")
    with pytest.raises(RequestError, match=r"me/none: cannot be downloaded \(404 Client Error\); check its name"):
        pull_from_hub("me/none", tmp_path / "theirs")


def test_the_missing_package_is_named(tmp_path, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(RequestError, match=r"pip install 'selfpretrain\[hub\]'"):
        push_to_hub(tmp_path / "o", "me/mine")
