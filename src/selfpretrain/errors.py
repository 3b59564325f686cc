"""The ways a request can end other than well; the command line turns each into an exit status."""


class RequestError(ValueError):
    """The request or the data is wrong (exit status 2): says what, where, and what would be right."""


class NonFiniteError(ArithmeticError):
    """A quantity of one run stopped being finite; the run ends, the others go on."""

    def __init__(self, quantity: str, phase: str, step: int) -> None:
        super().__init__(quantity, phase, step)
        self.quantity, self.phase, self.step = quantity, phase, step

    def __str__(self) -> str:
        return f"{self.quantity} stopped being finite at step {self.step} of {self.phase} training"


class WorkerKilled(Exception):
    """A worker process ended without a word."""


class Interrupted(Exception):
    """A run was asked to stop; its checkpoint is on disk and the same command goes on from there."""
