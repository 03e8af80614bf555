"""`mlsys run | world | lab | notebook | serve | test | …`: one module per command, each with its own `add_parser`."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

from mlsys.core import MlsysError

COMMANDS = {
    "run": "run",
    "world": "world",
    "drill": "drill",
    "progress": "drill",
    "notebook": "notebook",
    "lab": "notebook",
    "serve": "serve",
    "monitor": "monitor",
    "config": "config",
    "answer": "answer",
    "test": "test",
    "calibrate": "calibrate",
}
"""Command → the module that has it."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; a `MlsysError` is printed as it stands (what, why, what to do), without a traceback."""
    parser = argparse.ArgumentParser(
        prog="mlsys",
        description="An ML-system-design interview answer you can run.",
        epilog="Start with `run`, then `lab`. Every command explains itself with --help.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    words = sys.argv[1:] if argv is None else argv
    # A command waits for its own imports only: a server needs no notebooks.
    asked = COMMANDS.get(words[0]) if words else None
    for name in [asked] if asked else dict.fromkeys(COMMANDS.values()):
        import_module(f"mlsys.cli.{name}").add_parser(commands)
    arguments = parser.parse_args(argv)
    try:
        code = int(arguments.handler(arguments))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `| head` has seen enough. What is still to be written at exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MlsysError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.strerror}: {error.filename}\n  do:  choose another file or folder", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
