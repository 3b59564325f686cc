"""Several runs at a time on one machine. Serial and parallel runs go through the same function."""

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Event as StopSignal
from pathlib import Path
from typing import Any

from selfpretrain.arms import execute
from selfpretrain.config import RunConfig
from selfpretrain.errors import Interrupted, WorkerKilled
from selfpretrain.events import Event, Finished, Watch
from selfpretrain.runs import RunFolder, run_path
from selfpretrain.tasks import Task

POLL_SECONDS = 0.1
Result = dict[str, Any]


def cores() -> int:
    """Processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """Does runs, each in its folder under ``root``. A context manager: its processes serve until the end.

    Args:
        count: processes; 1 works in this one.
        watch: gets progress and notes, in this process.
    """

    def __init__(self, task: Task, root: Path, *, count: int, watch: Watch) -> None:
        self._task, self._root, self._count, self._watch = task, root, count, watch

    def __enter__(self) -> "Workers":
        if self._count > 1:
            context = multiprocessing.get_context("spawn")
            self._events: multiprocessing.Queue[Event] = context.Queue()
            self._stop = context.Event()
            start = (self._task, self._root, self._events, self._stop, os.getpid())
            self._pool = ProcessPoolExecutor(self._count, context, _start_worker, start)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._count > 1:
            self._stop.set()  # after an error or Ctrl-C, runs that go on save their state and stop
            self._pool.shutdown(wait=True, cancel_futures=True)

    def do(self, runs: Sequence[RunConfig]) -> list[Result]:
        """The results of ``runs``, in their order.

        Raises:
            KeyboardInterrupt: passed on; every run saves its state.
            WorkerKilled: a worker process ended without a word.
        """
        if self._count == 1:
            return [_run(run, self._task, self._root, self._watch, lambda: False) for run in runs]
        try:
            with _deaf_children():
                futures = [self._pool.submit(_work, run) for run in runs]
            _pump(futures, self._events, self._watch)
            for future in futures:
                if future.done():
                    future.result()  # raises what has failed, before others are waited for
            return [future.result() for future in futures]
        except BrokenProcessPool:
            raise WorkerKilled(
                "a worker process was killed, perhaps for lack of memory; finished runs are kept, and the same command "
                "(with --workers 1, say) goes on from there"
            ) from None


@contextlib.contextmanager
def _deaf_children() -> Iterator[None]:
    """Let processes that start now ignore Ctrl-C, which reaches the whole group: the parent tells them to stop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _pump(futures: Sequence[Future[Result]], events: "multiprocessing.Queue[Event]", watch: Watch) -> None:
    """Pass on events until all runs are done, and the last event with them, or one has failed."""
    while True:
        done, waiting = wait(futures, timeout=0)
        if any(future.exception() is not None for future in done):
            return
        try:
            watch(events.get(timeout=POLL_SECONDS))
        except queue.Empty:
            if not waiting:
                return


# The rest runs in the worker processes.

_worker: dict[str, Any] = {}


def _start_worker(
    task: Task, root: Path, events: "multiprocessing.Queue[Event]", stop: StopSignal, parent: int
) -> None:
    _worker.update(task=task, root=root, events=events, stop=stop)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _die_with(parent: int) -> None:
    """End this process when its parent is gone; whatever it was writing appears whole or not at all."""
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os._exit(1)


def _work(run: RunConfig) -> Result:
    return _run(run, _worker["task"], _worker["root"], _worker["events"].put, _worker["stop"].is_set)


def _run(run: RunConfig, task: Task, root: Path, tell: Watch, stop: Callable[[], bool]) -> Result:
    if stop():
        raise Interrupted
    with RunFolder(run_path(root, run), run, task.fingerprint, tell=tell, stop=stop) as folder:
        result = execute(run, task, folder)
    tell(Finished(run.name, result))
    return result
