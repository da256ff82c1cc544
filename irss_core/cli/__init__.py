"""The command line: ``irss``, a thin shell over the same functions as the app. One file a command group.

Nothing heavy is imported before a command needs it: ``irss --help``, ``irss models`` and ``irss --version`` never
load torch.
"""

from irss_core.cli.root import main

__all__ = ["main"]
