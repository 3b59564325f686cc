"""Jobs on the machines of a Ray cluster, or of one that is started here. Needs the extra ``ray``.

They go through the same function as those of ``engines.local``, so their numbers are the same. What they write must lie
where all machines see it, under the same path. A job whose worker is lost is done again; a training goes on from its
latest checkpoint.
"""

import os
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfpretrain.engines.engine import POLL_SECONDS, Engine, Job
from selfpretrain.errors import Interrupted, RequestError, SettingError, WorkerKilled
from selfpretrain.machine import cores
from selfpretrain.watch import Event

RETRIES = 3
"""How often a job is done again that lost its worker."""
CONNECT_SECONDS = 10.0
"""Patience with a cluster's address."""
STOP_SECONDS = 60.0
"""Patience with jobs that were asked to stop, until they are ended."""
# Ray would report its use over the network, and would hide accelerators from jobs that ask for none with a warning.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def start(address: str | None, cpus: int) -> int:
    """Connect to the cluster at ``address``, like ``auto`` or ``ray://host:10001``, or start one here with these CPUs.

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
        installed = (sys.prefix, sys.base_prefix)
        own = [path for path in sys.path if path and not any(Path(path).is_relative_to(root) for root in installed)]
        settings: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
        settings["runtime_env"] = {"env_vars": {"PYTHONPATH": os.pathsep.join(own)}}  # for modules beside one's study
        if address is None:
            settings |= {"num_cpus": cpus, "include_dashboard": False}
        try:
            host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
            if colon:  # Ray itself would wait for many minutes where nobody answers
                socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
            ray.init(address=address or "local", **settings)
        except (OSError, ValueError, RuntimeError) as error:  # Python's ConnectionError is an OSError
            where = "Ray cannot be started here" if address is None else f"no Ray cluster to work with at {address}"
            cure = "" if address is None else "; start one with ray start --head, of this version of Ray and Python"
            raise RequestError(f"{where}: {error}{cure}") from None
    return int(ray.cluster_resources().get("CPU", 1))


class RayEngine(Engine):
    """Workers of a Ray cluster: each job takes its threads as CPUs, and an accelerator if it computes on one.

    Args:
        address: as in ``start``; other arguments are those of ``Engine``.
    """

    def __init__(self, *arguments: Any, address: str | None = None, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        start(address, max(self.workers * self._threads, cores()))
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray = ray
        needs = {"CPU": self._threads, "GPU": int(self._device == "cuda")}
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(all(machine.get(name, 0) >= n for name, n in needs.items()) for machine in machines):
            has = ", ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in machines)
            problem = f"and --device {self._device} fit no machine of the Ray cluster; they have {has}"
            raise SettingError("threads", self._threads, problem)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        self._board = ray.remote(num_cpus=0, scheduling_strategy=here)(_Board).remote()
        settled = {"num_cpus": needs["CPU"], "num_gpus": needs["GPU"], "max_retries": RETRIES}
        self._work = ray.remote(**settled)(_work)
        self._sent = ray.put(self._shared)

    def __exit__(self, *exception: object) -> None:
        if self._running:
            self._board.stop.remote()
            _, left = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=STOP_SECONDS)
            for handle in left:
                self._ray.cancel(handle, force=True)
        self._ray.kill(self._board)

    def _begin(self, job: Job) -> Any:
        return self._work.remote(self._sent, job, self._board, str(Path.cwd()))

    def _ended(self) -> Sequence[Any]:
        ended: Sequence[Any]
        ended, _ = self._ray.wait(list(self._running), timeout=POLL_SECONDS)
        for event in self._result(self._board.taken.remote()):
            self._watch(event)
        return ended

    def _result(self, handle: Any) -> Any:
        try:
            return self._ray.get(handle)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error  # which has the traceback of the worker
        except self._ray.exceptions.RayError as error:
            raise WorkerKilled(
                f"a worker was lost, also when its job was done again ({type(error).__name__}: {error}); finished work "
                "is kept, and the same command goes on from there"
            ) from None


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


def _work(shared: Any, job: Job, board: Any, folder: str) -> Any:
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
        return job.perform(shared, board.tell.remote, stopped.is_set)
    finally:
        ended.set()
        ray.get(board.is_stopped.remote())  # calls of one process come in order, so all that was told has arrived
