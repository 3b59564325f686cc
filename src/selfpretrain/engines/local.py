"""Jobs on this machine: in worker processes, or with one worker in this process."""

import contextlib
import ctypes
import multiprocessing
import os
import pickle
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import accumulate
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

from selfpretrain.engines.engine import POLL_SECONDS, Engine, Follow, Job
from selfpretrain.errors import Interrupted, RequestError, WorkerKilled
from selfpretrain.machine import processes
from selfpretrain.watch import Event


class LocalEngine(Engine):
    """Worker processes on this machine; with one worker this process itself. An accelerator is used from one."""

    _pool: ProcessPoolExecutor | None = None

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.workers = processes(self._device, self.workers)
        if self.workers > 1:
            require_guard()

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            # After an error or Ctrl-C, running jobs save their state and stop; Ctrl-C again does not wait for that.
            with _handling(_kill_workers, signal.SIGINT, signal.SIGTERM):
                self._stop.value = True
                self._pool.shutdown(wait=True, cancel_futures=True)
            self._memory.close()
            self._memory.unlink()

    def do(self, jobs: Sequence[Job], done: Follow = lambda job, result: ()) -> list[Any]:
        try:
            results = super().do(jobs, done)
        except BrokenProcessPool:
            raise WorkerKilled(
                "a worker process was killed, perhaps for lack of memory; finished work is kept, and the same command "
                "(with --workers 1, say) goes on from there"
            ) from None
        self._pass_on_events(patience=POLL_SECONDS)
        return results

    def _begin(self, job: Job) -> Future[Any]:
        if self.workers == 1:
            return self._done_here(job)
        if self._pool is None:
            self._start()
        assert self._pool is not None, "it was started"
        # Processes that start now ignore Ctrl-C, which reaches the whole group: the parent tells them to stop.
        with _handling(signal.SIG_IGN, signal.SIGINT):
            return self._pool.submit(_work, job)

    def _done_here(self, job: Job) -> Future[Any]:
        future = Future[Any]()
        try:
            with _stop_by_signal() if job.saves else contextlib.nullcontext(lambda: False) as stop:
                future.set_result(job.perform(self._shared, self._watch, stop))
        except Interrupted:
            raise KeyboardInterrupt from None
        return future

    def _ended(self) -> Sequence[Any]:
        wait(self._running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
        self._pass_on_events()
        return [future for future in self._running if future.done()]

    def _result(self, handle: Future[Any]) -> Any:
        return handle.result()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._events: multiprocessing.Queue[Event] = context.Queue()
        # Without a lock, which a worker that is killed could take with it.
        self._stop = context.RawValue(ctypes.c_bool)
        shared, self._memory = _packed(self._shared)
        start = (shared, self._events, self._stop, os.getpid())
        self._pool = ProcessPoolExecutor(self.workers, context, _start_worker, start)

    def _pass_on_events(self, patience: float = 0.0) -> None:
        with contextlib.suppress(queue.Empty):
            while self._pool is not None:
                self._watch(self._events.get(block=patience > 0, timeout=patience))


def require_guard() -> None:
    """Refuse a script that every worker process would run again from its first line, because nothing guards its calls.

    Raises:
        RequestError: the script never asks whether it is the main one.
    """
    main = sys.modules["__main__"]
    script = getattr(main, "__file__", None)
    if script is None or getattr(main, "__spec__", None) is not None or not Path(script).is_file():
        return  # typed in, or a module run with -m
    if "__main__" not in Path(script).read_text(encoding="utf-8", errors="ignore"):
        raise RequestError(
            f"{script}: worker processes import this script, and would run all of it again; put what it runs below "
            "the line  if __name__ == '__main__':  or give workers=1"
        )


@contextlib.contextmanager
def _stop_by_signal() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C or SIGTERM ask a job in this process to stop; a second one interrupts it at once."""
    asked = threading.Event()

    def ask(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    with _handling(ask, signal.SIGINT, signal.SIGTERM):
        yield asked.is_set
    if asked.is_set():  # the job ended before it looked
        raise KeyboardInterrupt


@contextlib.contextmanager
def _handling(handler: Any, *numbers: signal.Signals) -> Iterator[None]:
    """Handle those of these signals that Python handles, where it does so: in the main thread."""
    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in numbers if is_main}
    before = {number: old for number, old in before.items() if callable(old)}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _kill_workers(number: int, frame: Any) -> None:
    for process in multiprocessing.active_children():
        process.kill()


Packed = tuple[bytes, str, list[int]]
"""A pickle without its arrays, the shared memory that holds these, and their sizes."""


def _packed(shared: Any) -> tuple[Packed, SharedMemory]:
    """Pickle what every worker needs, its arrays into shared memory: all processes then read the same copy."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(shared, protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    sizes = [view.nbytes for view in views]
    memory = SharedMemory(create=True, size=max(1, sum(sizes)))
    for place, view in zip(_places(memory, sizes), views, strict=True):
        place[:] = view
    return (data, memory.name, sizes), memory


def _places(memory: SharedMemory, sizes: list[int]) -> list[memoryview]:
    """Pieces of the memory, one behind the other."""
    assert memory.buf is not None, "it is open"
    return [memory.buf[stop - size : stop] for size, stop in zip(sizes, accumulate(sizes), strict=True)]


# The rest runs in the worker processes.

_worker: dict[str, Any] = {"saves": True}


def _start_worker(shared: Packed, events: "multiprocessing.Queue[Event]", stop: ctypes.c_bool, parent: int) -> None:
    data, name, sizes = shared
    memory = SharedMemory(name)
    content = pickle.loads(data, buffers=_places(memory, sizes))
    _worker.update(shared=content, memory=memory, events=events, stop=stop)
    threading.Thread(target=_end_in_time, args=(parent,), daemon=True).start()


def _end_in_time(parent: int) -> None:
    """End this process when its parent is gone, or has asked a job to stop that has nothing to save.

    Every file that it was writing appears whole or not at all. The parent expects the broken pool that it asked for.
    """
    while os.getppid() == parent and (_worker["saves"] or not _worker["stop"].value):
        time.sleep(POLL_SECONDS)
    os._exit(1)


def _work(job: Job) -> Any:
    def is_asked_to_stop() -> bool:
        return bool(_worker["stop"].value)

    if is_asked_to_stop():
        raise Interrupted
    _worker["saves"] = job.saves
    try:
        return job.perform(_worker["shared"], _worker["events"].put, is_asked_to_stop)
    finally:
        _worker["saves"] = True
