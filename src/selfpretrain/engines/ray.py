"""Jobs on the machines of a Ray cluster, or of one that is started here. Needs the extra ``ray``.

They go through the same function as those of ``engines.local``, so their numbers are the same. What they write must lie
where all machines see it, under the same path. A job whose worker is lost is done again; a training goes on from its
latest checkpoint.
"""

import os
import socket
import sys
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from selfpretrain.engines.engine import POLL_SECONDS, Engine, Job, Payload, Result, Shared
from selfpretrain.errors import Interrupted, RequestError, WorkerKilled
from selfpretrain.events import Event

RETRIES = 3
"""How often a job may lose its worker."""
CONNECT_SECONDS = 10.0
"""Patience with a cluster's address."""
STOP_SECONDS = 60.0
"""Patience with jobs that were asked to stop, until they are ended."""
# Ray would report its use over the network, and would hide accelerators from jobs that ask for none with a warning.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def start(address: str | None, cpus: int) -> int:
    """Connect to a cluster, or start one on this machine; once in a process.

    Args:
        address: of a running cluster, like ``auto`` or ``ray://host:10001``; None starts one.
        cpus: of the one that is started.

    Returns:
        The cluster's CPUs.

    Raises:
        RequestError: Ray is not installed, or there is no cluster.
    """
    os.environ.update(QUIET)
    try:
        import ray
    except ImportError:
        raise RequestError("the engine ray needs the package ray: pip install 'selfpretrain[ray]'") from None
    if not ray.is_initialized():
        own = [path for path in sys.path if path and not path.startswith((sys.prefix, sys.base_prefix))]
        settings: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
        settings["runtime_env"] = {"env_vars": {"PYTHONPATH": os.pathsep.join(own)}}  # for modules beside one's study
        if address is None:
            settings |= {"num_cpus": cpus, "include_dashboard": False}
        try:
            _reach(address)
            ray.init(address=address or "local", **settings)
        except (OSError, ValueError) as error:  # Python's ConnectionError is an OSError
            raise RequestError(f"no Ray cluster at {address}: {error}; start one with ray start --head") from None
    return int(ray.cluster_resources().get("CPU", 1))


def _reach(address: str | None) -> None:
    """Try a HOST:PORT, since Ray itself would wait for many minutes.

    Raises:
        OSError: nobody answers there.
    """
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon:
        with socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS):
            pass


class RayEngine(Engine[Shared, Payload, Result]):
    """Workers of a Ray cluster: each job takes its threads as CPUs, and an accelerator if it computes on one.

    Args:
        address: as in ``start``; other arguments are those of ``Engine``.
    """

    def __init__(self, *arguments: Any, address: str | None = None, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        start(address, self._workers * self._threads)
        import ray

        self._ray = ray
        self._board = ray.remote(num_cpus=0)(_Board).remote()
        needs = {"num_cpus": self._threads, "num_gpus": int(self._device == "cuda"), "max_retries": RETRIES}
        self._work = ray.remote(**needs)(_work)
        self._sent = (ray.put(self._perform), ray.put(self._shared))
        self._running: Collection[Any] = ()

    def __exit__(self, *exception: object) -> None:
        if self._running:
            self._board.stop.remote()
            _, left = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=STOP_SECONDS)
            for handle in left:
                self._ray.cancel(handle, force=True)
        self._ray.kill(self._board)

    def _begin(self, jobs: Sequence[Job[Payload]]) -> Mapping[Any, Job[Payload]]:
        return {self._work.remote(*self._sent, job.payload, self._board, str(Path.cwd())): job for job in jobs}

    def _ended(self, running: Collection[Any]) -> Sequence[Any]:
        self._running = list(running)
        ended: Sequence[Any]
        ended, self._running = self._ray.wait(self._running, timeout=POLL_SECONDS)
        for event in self._ray.get(self._board.taken.remote()):
            self._watch(event)
        return ended

    def _result(self, handle: Any) -> Result:
        try:
            result: Result = self._ray.get(handle)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            raise WorkerKilled(
                f"a job lost its worker {RETRIES + 1} times ({type(error).__name__}); finished work is kept, and the "
                "same command goes on from there"
            ) from None
        return result


class _Board:
    """What jobs tell, until it is taken, and whether they should stop: an actor, which does one call at a time."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._stopped = False

    def tell(self, event: Event) -> None:
        self._events.append(event)

    def taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def stop(self) -> None:
        self._stopped = True

    def is_stopped(self) -> bool:
        return self._stopped


def _work(perform: Callable[..., Any], shared: Any, payload: Any, board: Any, folder: str) -> Any:
    """Do one job in a worker process, in the folder in which the command was given."""
    import ray

    if not Path(folder).is_dir():
        raise RequestError(f"{os.uname().nodename}: has no folder {folder}; run from a folder that all machines share")
    os.chdir(folder)
    ended, stopped = threading.Event(), threading.Event()

    def listen() -> None:
        while not ended.wait(POLL_SECONDS):
            if ray.get(board.is_stopped.remote()):
                stopped.set()
                return

    if ray.get(board.is_stopped.remote()):
        raise Interrupted
    threading.Thread(target=listen, daemon=True).start()
    try:
        return perform(shared, payload, board.tell.remote, stopped.is_set)
    finally:
        ended.set()
        ray.get(board.is_stopped.remote())  # calls of one process come in order, so all that was told has arrived
