"""The machine: device, cores, threads, memory, versions."""

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import selfpretrain
from selfpretrain.errors import RequestError, SettingError

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "safetensors", "pyarrow")


def cores() -> int:
    """Processor cores this process may use, and at most 61: Windows waits for no more processes together."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return min(os.cpu_count() or 1, 61)


def resolve_device(name: str) -> str:
    """The device of that name; ``auto`` is CUDA, then MPS, then the CPU.

    Raises:
        SettingError: the device is not there.
    """
    import torch

    known = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    available = [device for device, is_available in known.items() if is_available]
    if name == "auto":
        return available[0]
    if name not in available:
        raise SettingError("device", name, f"is not available here; available: {', '.join(available)}")
    return name


def processes(device: str, workers: int) -> int:
    """How many processes train at a time: an accelerator is used from one."""
    return workers if device == "cpu" else 1


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch and the linear algebra under NumPy and scikit-learn use so many threads, and no more."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before)


def peak_memory_bytes(device: str) -> int | None:
    """Most bytes held by the accelerator on CUDA, else by this process; None where the system does not say."""
    import torch

    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def memory_bytes() -> int | None:
    """Memory that is free, as far as the system says; None where it does not."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable"))
        return 1024 * int(line.split()[1])
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def require_memory(needed: float, what: object, cure: str = "take less of it") -> None:
    """Refuse what needs more bytes than are free."""
    free = memory_bytes()
    if free is not None and needed > free:
        raise RequestError(f"{what}: needs at least {needed / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free; {cure}")


def environment(device: str) -> dict[str, Any]:
    """Versions, device, command line and commit: the content of environment.json."""
    import torch

    return {
        "selfpretrain": selfpretrain.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "command": sys.argv,
    }


def _commit() -> str | None:
    """The commit of this source, where it is one: an installed package may lie in another project's repository."""
    source = Path(__file__)
    try:
        for arguments in (("ls-files", "--error-unmatch", source.name), ("rev-parse", "HEAD")):
            command = ("git", "-C", str(source.parent), *arguments)
            output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return output.strip()
