"""Models on the Hugging Face hub (extra ``hub``). Nothing here is called unless somebody asks for it by name."""

# The hub's own mixin is not used: it keeps a class's settings as it likes, where a model folder of ours is sealed.

from pathlib import Path
from typing import Any

from selfpretrain.classifier import load_model, model_folder
from selfpretrain.comparison.card import CARD
from selfpretrain.data.spelling import first_line
from selfpretrain.errors import RequestError
from selfpretrain.files import DONE, MANIFEST, Sealed


def push_to_hub(folder: Path | str, repo: str, *, private: bool = False, token: str | None = None) -> str:
    """Upload a model to the Hugging Face hub; gives its address.

    The files of the model and its card are uploaded, and nothing else that lies beside them.

    Args:
        folder: a model folder, or that of a comparison, whose best model is meant.
        repo: the name there, such as me/my-model; made if it does not exist.
        private: whether a repository that is made is private.
        token: an access token; None takes that of ``hf auth login``.

    Raises:
        RequestError: there is no model, the package huggingface_hub is missing, or the hub refuses.
    """
    path = model_folder(folder)
    load_model(path)  # whole, before anything leaves the machine
    hub = _hub()
    names = [*Sealed(path).names, MANIFEST, DONE, *([CARD] if (path / CARD).is_file() else [])]
    try:
        url = hub.create_repo(repo, private=private, exist_ok=True, token=token)
        hub.upload_folder(repo_id=repo, folder_path=path, allow_patterns=names, token=token)
    except Exception as error:  # it raises its own, and those of its transport
        raise RequestError(f"{repo}: the hub refuses ({first_line(error)}); see hf auth login") from error
    return str(url)


def pull_from_hub(repo: str, folder: Path | str, *, revision: str | None = None, token: str | None = None) -> Path:
    """Download a model from the Hugging Face hub into a folder, and check that it is whole; gives the folder.

    Args:
        repo: the name there, such as me/my-model.
        folder: a new or an empty folder.
        revision: a branch, a tag or a commit; None is the newest.
        token: an access token for private models; None takes that of ``hf auth login``.

    Raises:
        RequestError: the folder is not empty, or what was downloaded is no model of this package.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RequestError(f"{folder}: holds something already; name a new or an empty folder")
    hub = _hub()
    try:
        hub.snapshot_download(repo, local_dir=folder, revision=revision, token=token)
    except Exception as error:
        raise RequestError(f"{repo}: cannot be downloaded ({first_line(error)}); check its name") from error
    load_model(folder)
    return folder


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        problem = "models on the hub need the package huggingface_hub: pip install 'selfpretrain[hub]'"
        raise RequestError(problem) from None
    return huggingface_hub
