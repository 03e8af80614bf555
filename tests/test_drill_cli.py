"""Drills as a candidate meets them: the commands, the notebook, the drawings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from mlsys.analysis import whiteboard
from mlsys.cli import drill as cli
from mlsys.cli import main
from mlsys.core import MlsysError
from mlsys.drills import drills, find
from mlsys.drills.answer import dump
from mlsys.drills.session import Session
from mlsys.lesson import drill as lesson

ROOT = Path(__file__).resolve().parents[1]
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `mlsys drill ...` on a work folder of its own; gives the exit code and what it said."""

    def command(*words: str, verb: str = "drill") -> tuple[int, str]:
        code = main([verb, *words, "--folder", str(tmp_path / "work")])
        said = capsys.readouterr()
        return code, said.out + said.err

    return command


def test_a_round_in_the_terminal(run: Run, tmp_path: Path) -> None:
    drill, folder = find("03"), tmp_path / "work" / "drills" / "03_scale" / "7"
    code, said = run("next")
    assert code == 0 and "01_whiteboard" in said and "not tried" in said
    code, said = run("start", "03", "--seed", "7")
    assert code == 0 and str(folder / "answer.toml") in said and "Clock:" in said
    reference = drill.answers().reference(drill.variant(7))
    for question in reference.questions:
        code, said = run("ask", "03", *question.split())
        assert code == 0 and "nothing on that" not in said
    code, said = run("check", "3")
    assert code == 2 and "nothing is answered yet" in said
    (folder / "answer.toml").write_text(dump(reference.values), encoding="utf-8")
    code, said = run("check", "03")
    assert code == 0 and "E6 so far; a human has yet to score" in said
    assert not re.search(r"^\d  locked", said, re.MULTILINE)
    human = [row.id for row in drill.rows if not row.check]
    code, said = run("check", "03", *(word for row in human for word in ("--score", f"{row}=3")))
    assert code == 0 and "E6:" in said
    code, said = run("show", "03", "--transcript")
    assert code == 0 and all(question in said for question in reference.questions)
    code, said = run("list")
    assert (
        f"{3 * len(drill.rows)} of {3 * len(drill.rows)} points" in said
        and said.count("not tried") == len(drills()) - 1
    )
    assert all(one.signal in said for one in drills())
    code, said = run(verb="progress")
    assert code == 0 and "Intervals:" in said
    assert all((tmp_path / "work" / name).stat().st_size > 5_000 for name in ("progress.png", "calibration.png"))
    code, said = run("--export", str(tmp_path / "out"), verb="progress")
    assert code == 0 and len(pd.read_csv(tmp_path / "out" / "scores.csv")) == len(drill.rows)


def test_errors_end_with_what_to_do(run: Run) -> None:
    for words in (("start", "77"), ("check", "03"), ("ask", "03", "why?"), ("start", "03", "--seed", "-1"),
                  ("start", "03", "--seed", "9" * 20), ("new", "nonsense"), ("new", "03_again")):  # fmt: skip
        code, said = run(*words)
        assert code == 2 and "  do:  " in said, words
    assert main(["drill", "prove", "77"]) == 2
    run("start", "03")
    for words in (
        ("check", "03", "--score", "aloud=²"),
        ("hint", "03", "nothing"),
        ("check", "03", "--score", "calibration=3"),
        ("check", "03", "--score", "x"),
    ):
        code, said = run(*words)
        assert code == 2 and "  do:  " in said, words


def test_next_says_what_is_open(run: Run, tmp_path: Path) -> None:
    drill, path = find("01"), tmp_path / "work" / "drills" / "01_whiteboard" / "7" / "answer.toml"
    run("start", "01", "--seed", "7")
    assert re.search("you have started it\n.* start 01\n", run("next")[1])
    values = drill.answers().reference(drill.variant(7)).values
    path.write_text(dump({**values, "starved": []}), encoding="utf-8")
    run("check", "01")
    session = Session.resume("01", tmp_path / "work")
    other = [one for one in drills() if one.name != "01_whiteboard"]
    for one in other:  # All the rest is fine, so the open rows of 01 are what is left.
        session.progress.give(session.progress.start(one.name, 1), {row.id: 3 for row in one.rows})
    assert re.search("'strike' is not answered yet\n.* start 01\n", run("next")[1])
    path.write_text(dump(values), encoding="utf-8")
    run("check", "01")
    assert re.search("nobody has scored its row 'told' yet\n.* check 01 --score told=2\n", run("next")[1])
    run("check", "01", "--score", "told=0")
    assert re.search("'told' has 0 points\n.* start 01 --new\n", run("next")[1])
    run("start", "01", "--new")
    assert re.search("you have started it\n.* start 01\n", run("next")[1])


def test_samples_come_with_their_points_where_there_are_some(run: Run) -> None:
    run("start", "03", "--seed", "7")
    code, said = run("show", "03", "--samples")
    rows = " ".join(rf"{row.id}=\d" for row in find("03").rows if row.check)
    assert code == 0 and all(re.search(rf"^# {name}: {rows}", said, re.MULTILINE) for name in ("E4", "E5", "E6"))
    run("start", "01", "--seed", "7")
    code, said = run("show", "01", "--samples")
    assert code == 2 and "has no samples" in said
    for name in ("01", "03"):
        assert (b"drill.samples()" in lesson.notebook(find(name))) == (name == "03")


def test_the_card_comes_before_the_drawing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(graph: object) -> None:
        raise MlsysError("no drawing today", why="it is broken", fix="mend it")

    run("start", "01", "--seed", "7")
    drill = find("01")
    path = tmp_path / "work" / "drills" / "01_whiteboard" / "7" / "answer.toml"
    path.write_text(dump(drill.answers().reference(drill.variant(7)).values), encoding="utf-8")
    monkeypatch.setattr(whiteboard, "draw", draw)
    code, said = run("check", "01")
    assert code == 2 and "The loop is closed" in said and "no drawing today" in said


def test_a_terminal_that_knows_only_ascii_and_a_kernel_before_the_start(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    listed = [sys.executable, "-m", "mlsys", "drill", "list", "--folder", str(tmp_path)]
    found = subprocess.run(listed, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert found.returncode == 0 and "01_whiteboard" in found.stdout, found.stderr
    code = (
        "from IPython.core.interactiveshell import InteractiveShell as Shell; shell = Shell.instance()\n"
        "import mlsys.lesson.drill\n"
        "shell.run_cell('%%answer\\nsteps = []')"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert "no drill is started" in found.stdout + found.stderr


def test_a_drill_that_cannot_be_read_is_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> None:
        raise MlsysError(f"{name}/drill.toml: broken", why="x", fix="y")

    monkeypatch.setattr(cli, "find", find)
    assert "broken" in str(cli._one("10_broken", 1, 2)[0])


@pytest.mark.parametrize("name", [drill.name for drill in drills()])
def test_a_notebook_is_made_the_same_every_time_and_holds_no_variant(name: str) -> None:
    drill = find(name)
    made = lesson.notebook(drill)
    assert made == lesson.notebook(find(name))
    text = made.decode()
    assert "answers.py" not in text and "seed=" not in text and f'start(\\"{name[:2]}\\")' in text


def test_a_notebook_runs_from_the_prompt_to_the_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(lesson.WORK_VARIABLE, str(tmp_path))
    drill = find("05")
    session = Session.start("05", tmp_path, seed=3)
    notebook = nbformat.reads(lesson.notebook(drill).decode(), as_version=4)
    values = dict(drill.answers().reference(drill.variant(3)).values)
    for cell in notebook.cells:
        if cell.source.startswith("%%answer"):
            assert "# for example:" in cell.source
            cell.source = f"%%answer\n{dump(values)}"
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    said = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert f"saved: {len(values)} of {len(drill.fields)} fields" in said and "unlocked" in said
    assert session.progress.points(session.attempt), "notebook and terminal keep one book"


def test_an_answer_cell_that_cannot_be_read_names_the_line_of_the_cell(tmp_path: Path) -> None:
    session = Session.start("05", tmp_path, seed=3)
    lesson._current[:] = [lesson.LessonDrill(session)]
    with pytest.raises(Exception, match="what you typed, line 3: there is no field 'stepps'"):
        lesson._answer("", "# line two\nstepps = []\n")


def test_the_board_saves_what_can_be_read_and_says_what_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []
    monkeypatch.setattr(lesson, "show_widget", lambda box, text: shown.append((box, text)))
    session = Session.start("01", tmp_path, seed=3)
    lesson.LessonDrill(session).board()
    ((board, text),) = shown  # type: ignore[misc]
    box, note, picture = board.children
    assert "No arrows yet" in text
    empty = picture.value
    box.value = "server ->"
    assert "not saved" in note.value and "server" not in session.raw().get("board", "")
    box.value = "store -> server: features"
    assert "saved" in note.value and picture.value != empty
    assert session.raw()["board"] == "store -> server: features"
    before = session.path.with_name("answer.toml.before").read_text("utf-8")
    assert "-> server: features" not in before
    box.value += "\nserver -> log"
    assert "log" in session.raw()["board"]
    assert session.path.with_name("answer.toml.before").read_text("utf-8") == before, "once, not at every key"
    with pytest.raises(MlsysError, match="has no board"):
        lesson.LessonDrill(Session.start("05", tmp_path, seed=3)).board()


def test_notebook_01_links_every_drill_and_copies_link_their_notebooks() -> None:
    from mlsys.cli.notebook import fresh_copy

    source = ROOT / "notebooks" / "_source" / "01_introduction.py"
    links = re.findall(r"\]\(\.\./drills/(\w+)/prompt\.md\)", source.read_text("utf-8"))
    assert sorted(links) == [drill.name for drill in drills()][:8]
    copy = fresh_copy(source).decode()
    assert "prompt.md" not in copy and all(f"(drills/{name}.ipynb)" in copy for name in links)


def test_a_part_of_a_name_is_enough_where_it_is_one_drill_only(run: Run) -> None:
    code, said = run("start", "whiteboard", "--seed", "3")
    assert code == 0 and "01_whiteboard" in said
    code, said = run("start", "o")
    assert code == 2 and "there is no drill 'o'" in said


def test_where_all_is_in_the_prompt_a_question_costs_nothing(run: Run) -> None:
    run("start", "05")
    for _ in range(14):
        code, said = run("ask", "05", "is it snowing outside?")
        assert code == 0 and "nothing on that" in said


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no broken pipe")
def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = [sys.executable, "-m", "mlsys", "drill", "list"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait() == 0 and said == b"", said
