"""``selfpretrain``, and ``python -m selfpretrain``."""

import os
import signal
import sys


def main() -> int:
    """Run the command line; gives the exit status."""
    # Until there is somebody to catch it, Ctrl-C ends the process without a traceback.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from selfpretrain.cli import catch_signals, main, started_by_torchrun

    catch_signals()
    try:
        status = main()
    except KeyboardInterrupt:  # once more, while the first one was answered
        status = 130
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all that was to be said is said
    if started_by_torchrun():  # whose threads can abort a process while Python ends it, after all is written
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
