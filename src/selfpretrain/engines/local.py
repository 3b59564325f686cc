"""Jobs on this machine: in worker processes, or with one worker in this process."""

import contextlib
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.shared_memory import SharedMemory
from multiprocessing.synchronize import Event as StopSignal
from typing import Any

from selfpretrain.engines.engine import POLL_SECONDS, Engine, Job
from selfpretrain.errors import Interrupted, WorkerKilled
from selfpretrain.machine import processes
from selfpretrain.watch import Event


class LocalEngine(Engine):
    """Worker processes on this machine; with one worker this process itself. An accelerator is used from one."""

    _pool: ProcessPoolExecutor | None = None
    _memory: SharedMemory | None = None

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            self._stop.set()  # after an error or Ctrl-C, running jobs save their state and stop
            self._pool.shutdown(wait=True, cancel_futures=True)
        if self._memory is not None:
            self._memory.close()
            self._memory.unlink()

    def do(self, jobs: Sequence[Job], done: Callable[[Job, Any], None] = lambda job, result: None) -> list[Any]:
        """As every engine; see there."""
        if processes(self._device, self._workers) == 1:
            return self._do_here(jobs, done)
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

    def _do_here(self, jobs: Sequence[Job], done: Callable[[Job, Any], None]) -> list[Any]:
        results = []
        for job in jobs:
            try:
                with _stop_by_signal() if job.saves else contextlib.nullcontext(lambda: False) as stop:
                    results.append(job.perform(self._shared, self._watch, stop))
            except Interrupted:
                raise KeyboardInterrupt from None
            done(job, results[-1])
        return results

    def _begin(self, job: Job) -> Future[Any]:
        pool = self._started()
        with _ignoring_interrupts():
            return pool.submit(_work, job)

    def _ended(self) -> Sequence[Any]:
        running = list(self._running)
        wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
        self._pass_on_events()
        return [future for future in running if future.done()]

    def _result(self, handle: Future[Any]) -> Any:
        return handle.result()

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._events: multiprocessing.Queue[Event] = context.Queue()
            self._stop = context.Event()
            shared, self._memory = _packed(self._shared)
            start = (shared, self._events, self._stop, os.getpid())
            workers = processes(self._device, self._workers)
            self._pool = ProcessPoolExecutor(workers, context, _start_worker, start)
        return self._pool

    def _pass_on_events(self, patience: float = 0.0) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._watch(self._events.get(block=patience > 0, timeout=patience))


@contextlib.contextmanager
def _stop_by_signal() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C or SIGTERM ask a job in this process to stop; a second one interrupts it at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    handled = [number for number in (signal.SIGINT, signal.SIGTERM) if callable(signal.getsignal(number))]
    before = {number: signal.getsignal(number) for number in handled}

    def ask(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    for number in handled:
        signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked.is_set():  # the job ended before it looked
        raise KeyboardInterrupt


@contextlib.contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Processes that start now ignore Ctrl-C, which reaches the whole group: the parent tells them to stop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


Packed = tuple[bytes, str | None, list[int]]
"""A pickle without its arrays, the shared memory that holds these, and their sizes."""


def _packed(shared: Any) -> tuple[Packed, SharedMemory | None]:
    """Pickle what every worker needs, its arrays into shared memory: all processes then read the same copy."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(shared, protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    sizes = [view.nbytes for view in views]
    if not sum(sizes):
        return (data, None, sizes), None
    memory = SharedMemory(create=True, size=sum(sizes))
    start = 0
    for view in views:
        memory.buf[start : start + view.nbytes] = view  # type: ignore[index]  # it is open
        start += view.nbytes
    return (data, memory.name, sizes), memory


def _unpacked(packed: Packed) -> tuple[Any, SharedMemory | None]:
    data, name, sizes = packed
    if name is None:
        return pickle.loads(data, buffers=[bytearray()] * len(sizes)), None
    memory = SharedMemory(name)
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    assert memory.buf is not None, "it is open"
    views = [memory.buf[start : start + size] for start, size in zip(starts, sizes, strict=True)]
    return pickle.loads(data, buffers=views), memory


# The rest runs in the worker processes.

_worker: dict[str, Any] = {}


def _start_worker(shared: Packed, events: "multiprocessing.Queue[Event]", stop: StopSignal, parent: int) -> None:
    content, memory = _unpacked(shared)
    _worker.update(shared=content, memory=memory, events=events, stop=stop)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _die_with(parent: int) -> None:
    """End this process when its parent is gone; every file it was writing appears whole or not at all."""
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os._exit(1)


def _work(job: Job) -> Any:
    if _worker["stop"].is_set():
        raise Interrupted
    if job.saves:
        return job.perform(_worker["shared"], _worker["events"].put, _worker["stop"].is_set)
    done = threading.Event()
    threading.Thread(target=_abandon_when_stopped, args=(done,), daemon=True).start()
    try:
        return job.perform(_worker["shared"], _worker["events"].put, _worker["stop"].is_set)
    finally:
        done.set()


def _abandon_when_stopped(done: threading.Event) -> None:
    """End this process at once when jobs are asked to stop: this one has nothing to save, and may take minutes.

    The parent sees a broken pool, which it expects, because it asked.
    """
    while not done.wait(POLL_SECONDS):
        if _worker["stop"].is_set():
            os._exit(1)
