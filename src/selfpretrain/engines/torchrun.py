"""Jobs of which every training runs over all processes that torchrun started; see ``train.group``.

    torchrun --nproc-per-node 2 -m selfpretrain compare my.csv

Process 0 runs the command and tells the others of each job; they assist it.
"""

import signal
from concurrent.futures import Future
from typing import Any

from selfpretrain.engines.engine import Job
from selfpretrain.engines.local import LocalEngine
from selfpretrain.train import group


class TorchrunEngine(LocalEngine):
    """One job at a time, in process 0 and with the help of the others."""

    def __init__(self, shared: Any, *, workers: int = 1, **settings: Any) -> None:
        super().__init__(shared, workers=1, **settings)
        group.send(shared)

    def _begin(self, job: Job) -> Future[Any]:
        group.send(job)
        return super()._begin(job)


def assist() -> None:
    """Assist process 0 until it is done. It alone is told to stop, and passes that on."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    shared = None
    while (message := group.receive()) is not None:
        if isinstance(message, Job):
            message.assist(shared)
        else:
            shared = message
