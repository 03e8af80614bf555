"""`mlsys answer`: the interview answer on two pages, cards and an empty whiteboard, from the notebooks' numbers."""

from __future__ import annotations

import argparse
import webbrowser
from pathlib import Path
from typing import Any

from mlsys.core import MlsysError
from mlsys.lesson.answer import Answer, Step, card, compose, markdown
from mlsys.lesson.answer_html import answer_page, cards_page, whiteboard_page
from mlsys.lesson.build import write

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "answer",
        help="the 45-minute answer on two pages, with the numbers of your notebooks",
        description="Write the feed-ranking answer as you would say it: seven steps, each claim with its number, the\n"
        "run that proves it, what E5 says, what E6 adds, and what is asked next. Every number is read from the built\n"
        "notebooks, so a notebook that is built anew changes the answer.\n\n"
        "  answer.html, answer.md   the answer; the first prints on two pages, A4 or Letter\n"
        "  cards.html               seven cards to cut out: the numbers to quote per step\n"
        "  whiteboard.html          an empty sheet to rehearse on, one page, landscape",
        epilog="Examples:\n"
        "  python start.py answer --open        write them, look at the answer\n"
        "  python start.py answer --step 5      the card of step 5, here in the terminal\n\n"
        "The night before: read answer.html once aloud, then fill whiteboard.html in 45 minutes without it.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "work" / "answer", help="default work/answer/")
    parser.add_argument("--open", action="store_true", help="show answer.html in the browser")
    parser.add_argument("--step", type=int, metavar="N", help="print the card of one step, 1 to 7, and write nothing")
    parser.set_defaults(handler=print_answer)


def print_answer(arguments: argparse.Namespace) -> int:
    """Write the four files, or print one card."""
    answer = compose(NOTEBOOKS)
    if arguments.step is not None:
        print(card(_step(answer, arguments.step)))
        return 0
    pages = {"answer.html": answer_page, "answer.md": markdown, "cards.html": cards_page}
    for name, page in {**pages, "whiteboard.html": whiteboard_page}.items():
        write(arguments.folder / name, page(answer).encode())
    print("Read")
    for notebook in answer.notebooks:
        print(f"  {notebook.name:<36}{notebook.identity}")
    print("Written")
    for name in (*pages, "whiteboard.html"):
        print(f"  {arguments.folder / name}")
    if arguments.open:
        webbrowser.open((arguments.folder / "answer.html").resolve().as_uri())
    return 0


def _step(answer: Answer, number: int) -> Step:
    if not 1 <= number <= len(answer.steps):
        raise MlsysError(f"there is no step {number}", why="the answer has seven", fix="--step 1 to --step 7")
    return answer.steps[number - 1]
