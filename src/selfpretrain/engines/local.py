"""Several jobs at a time on one machine. Serial and parallel jobs go through the same function.

A job may wait for others: work is a graph, and a job begins when all that it comes after are done.
"""

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.synchronize import Event as StopSignal
from typing import Any, Generic, TypeVar

from selfpretrain.errors import Interrupted, WorkerKilled
from selfpretrain.events import Event, Watch

POLL_SECONDS = 0.1
Shared = TypeVar("Shared")
Payload = TypeVar("Payload")
Result = TypeVar("Result")
Perform = Callable[[Shared, Payload, Watch, Callable[[], bool]], Result]
"""``perform(shared, payload, tell, stop)``: a function of a module, so that another process finds it. ``tell`` takes
events for the watcher; when ``stop()`` turns true it should save what it has and raise ``Interrupted``."""


@dataclass(frozen=True)
class Job(Generic[Payload]):
    """Something to do.

    Attributes:
        key: names it among the jobs of one call.
        payload: what ``perform`` gets.
        after: keys of jobs that must be done first; they stand before it.
    """

    key: str
    payload: Payload
    after: tuple[str, ...] = ()


class LocalEngine(Generic[Shared, Payload, Result]):
    """Does jobs. A context manager: its processes serve until the end.

    Args:
        perform: does one job.
        shared: what every job needs; sent to each process once.
        workers: processes; 1 works in this one.
        watch: gets progress and notes, in this process.
    """

    def __init__(
        self, perform: Perform[Shared, Payload, Result], shared: Shared, *, workers: int, watch: Watch
    ) -> None:
        self._perform, self._shared, self._workers, self._watch = perform, shared, workers, watch
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "LocalEngine[Shared, Payload, Result]":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            self._stop.set()  # after an error or Ctrl-C, jobs that go on save their state and stop
            self._pool.shutdown(wait=True, cancel_futures=True)

    def do(
        self,
        jobs: Sequence[Job[Payload]],
        done: Callable[[Job[Payload], Result], None] = lambda job, result: None,
    ) -> list[Result]:
        """The results of ``jobs``, in their order.

        Args:
            done: called with each job and its result in this process, soon after it ends, in any order.

        Raises:
            KeyboardInterrupt: passed on; every job saves its state.
            WorkerKilled: a worker process ended without a word.
        """
        if self._workers == 1:
            results = []
            for job in jobs:
                results.append(self._perform(self._shared, job.payload, self._watch, lambda: False))
                done(job, results[-1])
            return results
        if not jobs:
            return []  # processes start with the first job
        try:
            return self._in_processes(jobs, done)
        except BrokenProcessPool:
            raise WorkerKilled(
                "a worker process was killed, perhaps for lack of memory; finished work is kept, and the same command "
                "(with --workers 1, say) goes on from there"
            ) from None

    def _in_processes(self, jobs: Sequence[Job[Payload]], done: Callable[[Job[Payload], Result], None]) -> list[Result]:
        waiting = list(jobs)
        running: dict[Future[Result], Job[Payload]] = {}
        results: dict[str, Result] = {}
        pool = self._started()
        while len(results) < len(jobs):
            ready = [job for job in waiting if all(key in results for key in job.after)]
            assert ready or running, "jobs wait for each other, or for one that is not there"
            with _deaf_children():
                running |= {pool.submit(_work, job.payload): job for job in ready}
            waiting = [job for job in waiting if job not in ready]
            self._pass_on_events(running)
            for future in [future for future in running if future.done()]:
                job = running.pop(future)
                results[job.key] = future.result()  # raises what has failed, before others are waited for
                done(job, results[job.key])
        self._pass_on_events((), patience=POLL_SECONDS)
        return [results[job.key] for job in jobs]

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._events: multiprocessing.Queue[Event] = context.Queue()
            self._stop = context.Event()
            start = (self._perform, self._shared, self._events, self._stop, os.getpid())
            self._pool = ProcessPoolExecutor(self._workers, context, _start_worker, start)
        return self._pool

    def _pass_on_events(self, running: Collection[Future[Result]], patience: float = 0.0) -> None:
        """Give the watcher what was told, until a running job ends or a moment has passed."""
        wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
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
