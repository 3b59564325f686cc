"""Several jobs at a time on one machine. Serial and parallel jobs go through the same function."""

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
from typing import Any, Generic, TypeVar

import torch
from threadpoolctl import threadpool_limits

from selfpretrain.errors import Interrupted, WorkerKilled
from selfpretrain.events import Event, Watch

POLL_SECONDS = 0.1
Shared = TypeVar("Shared")
Job = TypeVar("Job")
Result = TypeVar("Result")
Perform = Callable[[Shared, Job, Watch, Callable[[], bool]], Result]
"""``perform(shared, job, tell, stop)``: a function of a module, so that another process finds it. ``tell`` takes events
for the watcher; when ``stop()`` turns true it should save what it has and raise ``Interrupted``."""


def cores() -> int:
    """Processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers(Generic[Shared, Job, Result]):
    """Does jobs. A context manager: its processes serve until the end.

    Args:
        perform: does one job.
        shared: what every job needs; sent to each process once.
        count: processes; 1 works in this one.
        watch: gets progress and notes, in this process.
    """

    def __init__(self, perform: Perform[Shared, Job, Result], shared: Shared, *, count: int, watch: Watch) -> None:
        self._perform, self._shared, self._count, self._watch = perform, shared, count, watch

    def __enter__(self) -> "Workers[Shared, Job, Result]":
        if self._count > 1:
            context = multiprocessing.get_context("spawn")
            self._events: multiprocessing.Queue[Event] = context.Queue()
            self._stop = context.Event()
            start = (self._perform, self._shared, self._events, self._stop, os.getpid())
            self._pool = ProcessPoolExecutor(self._count, context, _start_worker, start)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._count > 1:
            self._stop.set()  # after an error or Ctrl-C, jobs that go on save their state and stop
            self._pool.shutdown(wait=True, cancel_futures=True)

    def do(self, jobs: Sequence[Job], done: Callable[[Job, Result], None] = lambda job, result: None) -> list[Result]:
        """The results of ``jobs``, in their order.

        Args:
            done: called with each job and its result in this process, soon after it ends, in any order.

        Raises:
            KeyboardInterrupt: passed on; every job saves its state.
            WorkerKilled: a worker process ended without a word.
        """
        if self._count == 1:
            results = []
            for job in jobs:
                results.append(self._perform(self._shared, job, self._watch, lambda: False))
                done(job, results[-1])
            return results
        try:
            with _deaf_children():
                futures: list[Future[Result]] = [self._pool.submit(_work, job) for job in jobs]
            jobs_of = dict(zip(futures, jobs, strict=True))
            _pump(futures, self._events, self._watch, lambda future: done(jobs_of[future], future.result()))
            for future in futures:
                if future.done():
                    future.result()  # raises what has failed, before others are waited for
            return [future.result() for future in futures]
        except BrokenProcessPool:
            raise WorkerKilled(
                "a worker process was killed, perhaps for lack of memory; finished work is kept, and the same command "
                "(with --workers 1, say) goes on from there"
            ) from None


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch and the linear algebra under NumPy and scikit-learn use so many threads, and no more."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before)


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


def _pump(
    futures: Sequence[Future[Any]],
    events: "multiprocessing.Queue[Event]",
    watch: Watch,
    done: Callable[[Future[Any]], None],
) -> None:
    """Pass on events and results until all jobs are done, and the last event with them, or one has failed."""
    told: set[Future[Any]] = set()
    while True:
        ended, waiting = wait(futures, timeout=0)
        if any(future.exception() is not None for future in ended):
            return
        for future in ended - told:
            done(future)
        told |= ended
        try:
            watch(events.get(timeout=POLL_SECONDS))
        except queue.Empty:
            if not waiting:
                return


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
