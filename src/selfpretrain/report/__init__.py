"""Reports: pages and figures of finished folders, and answers on a terminal.

matplotlib keeps a cache of fonts in the home folder. Where it has none yet it gets a temporary one, since this tool
writes nowhere but where it was told to.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from selfpretrain.errors import RequestError


def _give_matplotlib_a_cache() -> None:
    home = os.path.expanduser("~")  # noqa: PTH111 (Path raises where there is none)
    caches = (Path(home) / name / "matplotlib" for name in (".cache", ".config"))
    if "MPLCONFIGDIR" in os.environ or any(os.access(cache, os.W_OK) for cache in caches):
        return
    try:
        folder = tempfile.mkdtemp(prefix="selfpretrain-")
    except OSError:
        raise RequestError(
            "there is no folder for temporary files; let TMPDIR name one that can be written to"
        ) from None
    os.environ["MPLCONFIGDIR"] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


_give_matplotlib_a_cache()
