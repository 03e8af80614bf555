"""Drills as a candidate meets them: the commands, the notebook, the drawings."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from mlsys.cli import main
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
    with pytest.raises(Exception, match="line 3: there is no field 'stepps'"):
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


def test_notebook_01_links_every_drill_and_copies_link_their_notebooks() -> None:
    from mlsys.cli.notebook import fresh_copy

    source = ROOT / "notebooks" / "_source" / "01_introduction.py"
    links = re.findall(r"\]\(\.\./drills/(\w+)/prompt\.md\)", source.read_text("utf-8"))
    assert sorted(links) == [drill.name for drill in drills()][:8]
    copy = fresh_copy(source).decode()
    assert "prompt.md" not in copy and all(f"(drills/{name}.ipynb)" in copy for name in links)
