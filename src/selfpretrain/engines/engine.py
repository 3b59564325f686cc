"""Engines run jobs, each as soon as the jobs that it depends on are done. Nothing here knows what a job is about."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Self

from selfpretrain.watch import Watch

POLL_SECONDS = 0.1


class Job(ABC):
    """A piece of work. Sent to other processes, so its class is defined at the top of a module.

    Attributes:
        key: names it among the jobs of one call.
        after: keys of jobs of the same call that must be done first.
        saves: whether it saves its state when it is asked to stop, and is waited for.
    """

    key: str
    after: tuple[str, ...] = ()
    saves: ClassVar[bool] = True

    @abstractmethod
    def perform(self, shared: Any, tell: Watch, stop: Callable[[], bool]) -> Any:
        """Do it, and return its result.

        Args:
            shared: given to the engine for all jobs.
            tell: takes events for the watcher.
            stop: when it turns true, the job should save its state and raise ``Interrupted``.
        """

    def assist(self, shared: Any) -> None:  # noqa: B027 (most jobs are done by one process)
        """What the other processes of a group do meanwhile (see ``engines.torchrun``)."""


Follow = Callable[[Job, Any], Iterable[Job] | None]
"""Takes a job and its result; gives the jobs that follow from it, if there are any."""


class Engine(ABC):
    """Runs jobs, several at a time. A context manager: its processes serve until the end.

    Args:
        shared: what every job needs; sent to each process once.
        workers: jobs at a time.
        watch: gets events, in this process.
        threads: CPU threads of one job.
        device: where a job computes: cpu, cuda or mps.
    """

    def __init__(self, shared: Any, *, workers: int, watch: Watch, threads: int = 1, device: str = "cpu") -> None:
        self._shared, self.workers, self._watch = shared, workers, watch
        self._threads, self._device = threads, device
        self._running: dict[Any, Job] = {}

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *exception: object) -> None:
        """Ask running jobs to stop, and wait for them."""

    def do(self, jobs: Sequence[Job], done: Follow = lambda job, result: ()) -> list[Any]:
        """The results of ``jobs``, in their order.

        Args:
            jobs: to be done.
            done: called with each job and its result in this process, soon after it ends, in any order; gives the jobs
                that follow from it, whose results only ``done`` gets.

        Raises:
            KeyboardInterrupt: passed on; every job saves its state.
            WorkerKilled: a worker process ended without a result.
        """
        waiting, running = list(jobs), self._running
        results: dict[str, Any] = {}
        while waiting or running:
            ready = [job for job in waiting if all(key in results for key in job.after)]
            assert ready or running, "jobs wait for each other, or for one that is not there"
            ready.sort(key=lambda job: bool(job.after))  # first those for which others may wait
            begun = ready[: self.workers - len(running)]
            for job in begun:
                running[self._begin(job)] = job
            waiting = [job for job in waiting if job not in begun]
            for handle in self._ended():
                job = running.pop(handle)
                results[job.key] = self._result(handle)  # raises a failure before others are waited for
                waiting += done(job, results[job.key]) or ()
        return [results[job.key] for job in jobs]

    @abstractmethod
    def _begin(self, job: Job) -> Any:
        """Start a job; gives a handle on it."""

    @abstractmethod
    def _ended(self) -> Sequence[Any]:
        """Handles of running jobs that have ended, after a short wait; passes on their events."""

    @abstractmethod
    def _result(self, handle: Any) -> Any:
        """The result of a job, or its exception.

        Raises:
            WorkerKilled: its process ended without a result.
        """


MakeEngine = Callable[..., Engine]
"""Makes an engine from the arguments of ``Engine``: ``LocalEngine``, or ``RayEngine``, perhaps with an address."""
