"""``python -m irss_core.cli`` is ``irss``."""

import sys

from irss_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
