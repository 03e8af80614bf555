"""`mlsys config show | question`: every setting with its default, and what a run says of the usual ones."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mlsys.config import SystemConfig
from mlsys.orchestration.questions import questions

WIDTH = 96


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "config",
        help="show every setting; ask the usual defaults why",
        description="Settings come from defaults, then a TOML file, then MLSYS_SECTION__KEY, then --set.",
        epilog="Examples:\n"
        "  python start.py config show\n"
        "  python start.py config show --config mine.toml       what differs is marked\n"
        "  python start.py config question                      50 ms, ten replicas, thirty days, a tenth: why?",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="what to do", metavar="WHAT", required=True)
    show = actions.add_parser("show", help="every setting, its value and its variable")
    show.add_argument("--config", type=Path, help="a TOML file")
    show.set_defaults(handler=print_settings)
    question = actions.add_parser("question", help="each usual default, asked and answered by a run, about a minute")
    question.add_argument("--seed", type=int, default=13, help="seed of the worlds (default 13)")
    question.add_argument("--users", type=int, default=300, metavar="N", help="users of each world (default 300)")
    question.set_defaults(handler=print_answers)


def print_settings(arguments: argparse.Namespace) -> int:
    """Print the tree."""
    config = SystemConfig.load(arguments.config)
    changed = SystemConfig().diff(config)
    for key, value in config.flat().items():
        was = f"   (default {changed[key][0]!r})" if key in changed else ""
        variable = "MLSYS_" + key.upper().replace(".", "__")
        print(f"  {key:<32}{value!r:<16}{variable}{was}")
    print(f"version {config.version}: equal settings, equal version")
    return 0


def print_answers(arguments: argparse.Namespace) -> int:
    """Run and print, one answer at a time."""
    for answer in tqdm(questions(arguments.seed, users=arguments.users), unit="question", leave=False, disable=None):
        tqdm.write(f"{answer.setting} = {answer.default!r}   {answer.question}")
        for text in (answer.measured, f"→ {answer.verdict}"):
            tqdm.write(textwrap.fill(text, WIDTH, initial_indent="    ", subsequent_indent="      "))
    return 0
