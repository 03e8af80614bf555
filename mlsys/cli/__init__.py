"""`mlsys run | world | lab | notebook | serve | test | …`: one module per command, each with its own `add_parser`."""

from __future__ import annotations

import argparse
import os
import sys

from mlsys.core import MlsysError


def main(argv: list[str] | None = None) -> int:
    """Run one command; a `MlsysError` is printed as it stands (what, why, what to do), without a traceback."""
    from mlsys.cli import calibrate, config, drill, monitor, notebook, run, serve, test, world

    parser = argparse.ArgumentParser(
        prog="mlsys",
        description="An ML-system-design interview answer you can run.",
        epilog="Start with `run`, then `lab`. Every command explains itself with --help.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (run, world, drill, notebook, serve, monitor, config, test, calibrate):
        module.add_parser(commands)
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
