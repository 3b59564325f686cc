"""``python -m selfpretrain`` is ``selfpretrain``."""

import sys

from selfpretrain.cli import main

if __name__ == "__main__":
    sys.exit(main())
