"""Several jobs at a time on one machine. Serial and parallel jobs go through the same function."""

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Event as StopSignal
from typing import Any

from selfpretrain.engines.engine import POLL_SECONDS, Engine, Job, Payload, Result, Shared
from selfpretrain.errors import Interrupted, WorkerKilled
from selfpretrain.events import Event
from selfpretrain.machine import processes


class LocalEngine(Engine[Shared, Payload, Result]):
    """Worker processes on this machine; with one worker this process itself. An accelerator is used from one."""

    _pool: ProcessPoolExecutor | None = None

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            self._stop.set()  # after an error or Ctrl-C, jobs that go on save their state and stop
            self._pool.shutdown(wait=True, cancel_futures=True)

    def do(
        self,
        jobs: Sequence[Job[Payload]],
        done: Callable[[Job[Payload], Result], None] = lambda job, result: None,
    ) -> list[Result]:
        """As every engine does them; see there."""
        if self._processes == 1:
            results = []
            for job in jobs:
                results.append(self._perform(self._shared, job.payload, self._watch, lambda: False))
                done(job, results[-1])
            return results
        if not jobs:
            return []  # processes start with the first job
        try:
            results = super().do(jobs, done)
        except BrokenProcessPool:
            raise WorkerKilled(
                "a worker process was killed, perhaps for lack of memory; finished work is kept, and the same command "
                "(with --workers 1, say) goes on from there"
            ) from None
        self._pass_on_events(patience=POLL_SECONDS)
        return results

    @property
    def _processes(self) -> int:
        return processes(self._device, self._workers)

    def _begin(self, job: Job[Payload]) -> Future[Result]:
        pool = self._started()
        with _deaf_children():
            return pool.submit(_work, job.payload)

    def _ended(self) -> Sequence[Any]:
        running = list(self._running)
        wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
        self._pass_on_events()
        return [future for future in running if future.done()]

    def _result(self, handle: Future[Result]) -> Result:
        return handle.result()

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._events: multiprocessing.Queue[Event] = context.Queue()
            self._stop = context.Event()
            start = (self._perform, self._shared, self._events, self._stop, os.getpid())
            self._pool = ProcessPoolExecutor(self._processes, context, _start_worker, start)
        return self._pool

    def _pass_on_events(self, patience: float = 0.0) -> None:
        """Give the watcher what was told."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._watch(self._events.get(block=patience > 0, timeout=patience))


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


# The rest runs in the worker processes.

_worker: dict[str, Any] = {}


def _start_worker(
    perform: Callable[..., Any], shared: Any, events: "multiprocessing.Queue[Event]", stop: StopSignal, parent: int
) -> None:
    _worker.update(perform=perform, shared=shared, events=events, stop=stop)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _die_with(parent: int) -> None:
    """End this process when its parent is gone; whatever it was writing appears whole or not at all."""
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os._exit(1)


def _work(job: Any) -> Any:
    if _worker["stop"].is_set():
        raise Interrupted
    return _worker["perform"](_worker["shared"], job, _worker["events"].put, _worker["stop"].is_set)
