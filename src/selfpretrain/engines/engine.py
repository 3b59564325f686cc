"""What does jobs, wherever they run: each begins when all that it comes after are done."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from selfpretrain.events import Watch

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


class Engine(ABC, Generic[Shared, Payload, Result]):
    """Does jobs, several at a time. A context manager: its processes serve until the end.

    Args:
        perform: does one job.
        shared: what every job needs; sent to each process once.
        workers: jobs at a time.
        watch: gets progress and notes, in this process.
        threads: CPU threads of one job.
        device: where a job computes: cpu, cuda or mps.
    """

    def __init__(
        self,
        perform: Perform[Shared, Payload, Result],
        shared: Shared,
        *,
        workers: int,
        watch: Watch,
        threads: int = 1,
        device: str = "cpu",
    ) -> None:
        self._perform, self._shared, self._workers, self._watch = perform, shared, workers, watch
        self._threads, self._device = threads, device
        self._running: dict[Any, Job[Payload]] = {}

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *exception: object) -> None:
        """Ask what still runs to stop, and wait for it."""

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
        waiting = list(jobs)
        running = self._running
        results: dict[str, Result] = {}
        while len(results) < len(jobs):
            ready = [job for job in waiting if all(key in results for key in job.after)]
            assert ready or running, "jobs wait for each other, or for one that is not there"
            ready.sort(key=lambda job: bool(job.after))  # what others may wait for goes first
            begun = ready[: self._workers - len(running)]
            for job in begun:
                running[self._begin(job)] = job
            waiting = [job for job in waiting if job not in begun]
            for handle in self._ended():
                job = running.pop(handle)
                results[job.key] = self._result(handle)  # raises what has failed, before others are waited for
                done(job, results[job.key])
        return [results[job.key] for job in jobs]

    @abstractmethod
    def _begin(self, job: Job[Payload]) -> Any:
        """Have a job begun; a handle on it."""

    @abstractmethod
    def _ended(self) -> Sequence[Any]:
        """Handles of running jobs that have ended, after waiting a moment; what was told until then is passed on."""

    @abstractmethod
    def _result(self, handle: Any) -> Result:
        """What a job came to.

        Raises:
            Exception: what it raised.
            WorkerKilled: its process ended without a word.
        """


MakeEngine = Callable[..., Engine[Any, Any, Any]]
"""Makes an engine from the arguments of ``Engine``: ``LocalEngine``, or ``RayEngine``, perhaps with an address."""
