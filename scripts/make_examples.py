"""Draw the app's example pictures and clip into a folder, to look at them or to use them elsewhere.

    python scripts/make_examples.py FOLDER

Run it from the repository's root, in the environment that ``make demo`` makes (``.venv/bin/python``).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from irss_core.ui.examples import example_clip, example_images


def main() -> None:
    """Draw the examples into the folder named on the command line, and print the path of each."""
    parser = argparse.ArgumentParser(description="Draw the example pictures and the example clip.")
    parser.add_argument("folder", type=Path, help="where to put them; made if it is not there; existing ones are kept")
    folder: Path = parser.parse_args().folder
    for path in (*example_images(folder), example_clip(folder)):
        print(path)


if __name__ == "__main__":
    main()
