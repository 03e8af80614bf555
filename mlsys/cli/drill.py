"""`mlsys drill` and `mlsys progress`: practise one question of the interview at a time, scored by runs."""

from __future__ import annotations

import argparse
import io
import secrets
import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from tqdm import tqdm

from mlsys.core import MlsysError, SystemClock
from mlsys.drills import drills, find
from mlsys.drills.graph import Graph
from mlsys.drills.new import create
from mlsys.drills.progress import TABLES, Progress, weakest
from mlsys.drills.proof import NEXT, NEXT_FULL, Problem, prove
from mlsys.drills.report import card_text, drill_text, progress_text, rubric_text
from mlsys.drills.session import DATABASE, Session
from mlsys.drills.source import names

ROOT = Path(__file__).resolve().parents[2]
SELF = "python start.py drill"
QUICK_SEED, FULL_SEEDS = 1, 5


def add_parser(commands: Any) -> None:
    """Register `drill` and `progress`."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(
        "drill",
        help="practise one question of the interview, scored by runs",
        formatter_class=plain,
        description="A drill asks, you answer in data (numbers, choices, arrows), and a run of the system says what\n"
        "holds. Every row of the rubric has 0 to 3 points; E5: all rows 2 or more, E6: and half of them 3.",
        epilog="A round:\n"
        "  python start.py drill next                    what to practise now\n"
        "  python start.py drill start 03                the prompt, the clock, an answer file\n"
        '  python start.py drill ask 03 "how high is the peak?"\n'
        "  python start.py drill check 03                points, reasons, what comes next\n"
        "  python start.py drill start 03 --new          another seed, other numbers\n"
        "In JupyterLab: open drills/03_scale.ipynb in what `python start.py lab` shows.",
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    def verb(name: str, help: str, handler: Any, *, number: bool = True, **more: Any) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = verbs.add_parser(name, help=help, formatter_class=plain, **more)
        if number:
            made.add_argument("number", metavar="NN", help="which drill, for example 03")
        made.add_argument("--folder", type=Path, default=ROOT / "work", help="where your work is (default: work/)")
        made.set_defaults(handler=partial(_shown, handler))
        return made

    verb("list", "every drill, and how you stand", _list, number=False)
    start = verb(
        "start", "show the prompt, start the clock, lay out the answer file", _start,
        description="Start a drill, or go on with the one you started. --new gives another seed: the same question\n"
        "with other numbers.",
        epilog="example:  python start.py drill start 03",
    )  # fmt: skip
    start.add_argument("--seed", type=int, metavar="S", help="this variant (default: drawn)")
    start.add_argument("--new", action="store_true", help="begin anew, with another seed")
    ask = verb(
        "ask", "put a clarifying question", _ask,
        description="Ask as you would in the interview, one thing at a time. Some numbers come only if asked for.",
        epilog='example:  python start.py drill ask 03 "how high is the peak over the mean?"',
    )  # fmt: skip
    ask.add_argument("question", nargs="+", help="your question")
    check = verb(
        "check", "score your answer: points, reasons, follow-ups", _check,
        description="Score the answer file. What cannot be read is an error that names field and line, and costs\n"
        "nothing. The first check counts: who has read why a row is locked can raise it to 2 at most.",
        epilog="examples: python start.py drill check 03\n"
        "          python start.py drill check 04 --score structure=2    points that you, who listened, give",
    )  # fmt: skip
    check.add_argument("--score", action="append", default=[], metavar="ROW=POINTS", help="points for a human row")
    hint = verb("hint", "a hint for one row; it caps the row at 2, a second one at 1", _hint)
    hint.add_argument("row", help="which row; `show NN --rubric` lists them")
    show = verb(
        "show", "the prompt again; or rubric, transcript, reference, samples", _show,
        description="Show a drill that you started. Reference and samples end the points for this seed.",
    )  # fmt: skip
    for name, what in (
        ("rubric", "what 0 to 3 points mean"),
        ("transcript", "what was asked, told, hinted and checked"),
        ("reference", "the reference answer of your seed"),
        ("samples", "answers at E4, E5 and E6, where the drill has some"),
    ):
        show.add_argument(f"--{name}", action="store_true", help=what)
    verb("next", "what to practise now: the weakest row that is due", _next, number=False)
    new = verb("new", "begin a drill of your own", _new, number=False)
    new.add_argument("name", metavar="NN_slug", help="for example 10_cold_start")
    proof = verb(
        "prove", "prove the graders: references pass, wrong answers fail where they should", _prove, number=False,
        description="For each drill: an empty answer earns nothing, the reference is E6, each named wrong answer\n"
        "fails its own row with its own message and no other, another seed's answer fails, naming everything\n"
        "fails, samples land on their level. Exit code 1 when something does not hold.",
        epilog="examples: python start.py drill prove            one seed of every drill\n"
        "          python start.py drill prove --full     five seeds, drawn anew\n"
        "          python start.py drill prove 03 --first-seed 4711",
    )  # fmt: skip
    proof.add_argument("names", nargs="*", metavar="NN", help="which drills (default: all)")
    proof.add_argument("--full", action="store_true", help=f"{FULL_SEEDS} seeds, drawn anew and printed")
    proof.add_argument("--first-seed", type=int, metavar="S", help=f"the first seed (default {QUICK_SEED})")
    progress = commands.add_parser(
        "progress",
        help="draw how you stand: steps, rows, calibration",
        formatter_class=plain,
        description="Print and draw points by step and row, what is due, and how well your intervals hold.",
        epilog="examples: python start.py progress\n"
        "          python start.py progress --export work/export    every table as CSV",
    )
    progress.add_argument("--folder", type=Path, default=ROOT / "work", help="where your work is (default: work/)")
    progress.add_argument("--export", type=Path, metavar="FOLDER", help="write every table there as CSV")
    progress.set_defaults(handler=partial(_shown, _progress))


def _shown(handler: Callable[[Namespace], int], arguments: Namespace) -> int:
    """Run a verb in any terminal: a sign that it cannot show becomes a question mark."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return handler(arguments)


def _list(arguments: Namespace) -> int:
    found = drills()
    rows = _open(arguments.folder).rows(found)
    for drill in found:
        mine = rows[rows["drill"] == drill.name]
        tried = mine["points"].notna()
        state = f"{mine['points'].sum():.0f} of {3 * len(mine)} points" if tried.any() else "not tried"
        print(f"{drill_text(drill)}\n    {state}{', due' if tried.any() and (mine['due'] & tried).any() else ''}")
    return 0


def _start(arguments: Namespace) -> int:
    from mlsys.lesson.build import write
    from mlsys.lesson.drill import notebook

    print("running the system for your seed, some seconds ...", file=sys.stderr)
    session = Session.start(arguments.number, arguments.folder, seed=arguments.seed, new=arguments.new)
    name = session.drill.name
    copy = arguments.folder / "drills" / f"{name}.ipynb"
    if not copy.exists():
        write(copy, notebook(session.drill))
    print(f"{drill_text(session.drill)} · seed {session.attempt.seed}\n\n{session.prompt}\n")
    tables = session.drill.variant(session.attempt.seed).tables
    if tables:
        print(f"Data:    {', '.join(f'{one}.csv' for one in tables)} in {session.folder}")
    print(f"Answer:  {session.path}")
    if session.drill.facts:
        print(f'Ask:     {SELF} ask {name[:2]} "..."   ({session.questions_left} questions)')
    print(f"Check:   {SELF} check {name[:2]}")
    print(f"Clock:   {session.clock}   (the same in JupyterLab: drills/{copy.name})")
    return 0


def _ask(arguments: Namespace) -> int:
    session = Session.resume(arguments.number, arguments.folder)
    print(f"{session.ask(' '.join(arguments.question))}   [{session.questions_left} more questions]")
    return 0


def _check(arguments: Namespace) -> int:
    from mlsys.analysis import style, whiteboard
    from mlsys.lesson.build import write

    session = Session.resume(arguments.number, arguments.folder)
    if arguments.score:
        session.score(dict(_points(text) for text in arguments.score))
    print("running your claims, some seconds ...", file=sys.stderr)
    card = session.check()
    print(f"{drill_text(session.drill)} · seed {session.attempt.seed} · {session.clock}\n")
    print(card_text(session.drill, card, session.attempt.seed))
    for value in session.answer().values():
        if isinstance(value, Graph):
            picture = session.folder / "board.png"
            write(picture, style.png(whiteboard.draw(value)))
            print(f"\n{whiteboard.ascii(value)}\n\nDrawn: {picture}")
    if card.open:
        print(f"\nListen to yourself, then: {SELF} check {session.drill.name[:2]} --score {card.open[0]}=2")
    return 0


def _points(text: str) -> tuple[str, int]:
    row, _, points = text.partition("=")
    if not points.isdecimal():
        raise MlsysError(f"--score {text}", why="it is ROW=POINTS, points from 0 to 3", fix="--score structure=2")
    return row, int(points)


def _hint(arguments: Namespace) -> int:
    print(Session.resume(arguments.number, arguments.folder).hint(arguments.row))
    return 0


def _show(arguments: Namespace) -> int:
    session = Session.resume(arguments.number, arguments.folder)
    if arguments.rubric:
        print(rubric_text(session.drill))
    if arguments.transcript:
        for line in session.progress.transcript(session.attempt).itertuples():
            print(f"{line.at}  {line.kind:<7}{line.what}\n{'':<28}{line.reply}")
    if arguments.reference:
        print(session.reference())
    if arguments.samples:
        print(session.samples())
    if not (arguments.rubric or arguments.transcript or arguments.reference or arguments.samples):
        print(f"{session.prompt}\n")
        for question, reply in session.progress.said(session.attempt, "ask"):
            print(f"You asked: {question}\n    {reply}")
        print(f"Answer: {session.path}\nClock:  {session.clock}")
    return 0


def _next(arguments: Namespace) -> int:
    rows = _open(arguments.folder).rows(drills())
    row = weakest(rows)
    if row is None:
        print(f"Nothing is due. Rest, or take another seed of any drill: {SELF} start NN --new")
        return 0
    drill = find(row["drill"])
    latest, number = _open(arguments.folder).latest(drill.name), drill.name[:2]
    human = next(not one.check for one in drill.rows if one.id == row["row"])
    if latest is None or latest.checked is None:
        state, what = "you have not tried it" if latest is None else "you have started it", f"start {number}"
    elif row["points"] >= 0:
        state, what = f"its row {row['row']!r} has {row['points']:.0f} points", f"start {number} --new"
    elif human:
        state, what = f"nobody has scored its row {row['row']!r} yet", f"check {number} --score {row['row']}=2"
    else:
        state, what = f"its row {row['row']!r} is not answered yet", f"start {number}"
    print(f"{drill_text(drill)}\n    {state}\n    {SELF} {what}")
    return 0


def _new(arguments: Namespace) -> int:
    folder = create(arguments.name)
    print(
        f"{folder.name} is there and is proved: {SELF} prove {folder.name[:2]}. Change it from here; drills/README.md"
    )
    return 0


def _prove(arguments: Namespace) -> int:
    chosen = [find(name).name for name in arguments.names] or names()
    seeds = FULL_SEEDS if arguments.full else 1
    drawn = secrets.randbelow(10**6) if arguments.full else QUICK_SEED
    first = drawn if arguments.first_seed is None else arguments.first_seed
    if first < 0:
        raise MlsysError(f"--first-seed {first}", why="a seed is 0 or more", fix="--first-seed 7")
    if not chosen:
        raise MlsysError("there are no drills", why="nothing would be proved", fix="run this inside a checkout")
    pairs = [(name, seed, NEXT_FULL if arguments.full else NEXT)
             for name in chosen for seed in range(first, first + seeds)]  # fmt: skip
    found: list[list[Problem]] = []
    with tqdm(total=len(pairs), desc="  prove", leave=False) as bar:
        for problems in Parallel(n_jobs=-1, return_as="generator")(delayed(_one)(*pair) for pair in pairs):
            found.append(problems)
            bar.update()
    for (name, seed, _), problems in zip(pairs, found, strict=True):
        print(f"{name:<28} seed {seed:<8} {'NOT PROVED' if problems else 'proved'}")
        for problem in problems:
            print(f"    {problem.what}")
    failed = sum(map(bool, found))
    print(f"{len(pairs) - failed} of {len(pairs)} proved; again: {SELF} prove --first-seed {first}"
          f"{' --full' if arguments.full else ''}")  # fmt: skip
    return int(failed > 0)


def _one(name: str, seed: int, following: int) -> list[Problem]:
    try:
        return prove(find(name), seed, following=following)
    except MlsysError as error:
        return [Problem(name, seed, str(error))]


def _progress(arguments: Namespace) -> int:
    from mlsys.analysis import practice, style
    from mlsys.lesson.build import write

    progress = _open(arguments.folder)
    rows, intervals = progress.rows(drills()), progress.intervals()
    if arguments.export:
        for name in TABLES:
            write(arguments.export / f"{name}.csv", progress.table(name).to_csv(index=False).encode())
        print(f"{', '.join(f'{name}.csv' for name in TABLES)} are in {arguments.export}")
        return 0
    print(progress_text(rows, intervals))
    for name, figure in (("progress", practice.heatmap(rows)), ("calibration", practice.calibration_plot(intervals))):
        write(arguments.folder / f"{name}.png", style.png(figure))
    print(f"\nDrawn: {arguments.folder / 'progress.png'}, {arguments.folder / 'calibration.png'}")
    return 0


def _open(folder: Path) -> Progress:
    return Progress(folder / DATABASE, SystemClock())
