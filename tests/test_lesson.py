"""The notebook tool chain: what cells call, percent sources, reproducible builds, the check, copies to work in."""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

from mlsys import lesson
from mlsys.cli import notebook as cli
from mlsys.core import MlsysError
from mlsys.lesson import CLAIM_MIME, RESULT_MIME, WIDGET_MIME, ClaimRefuted
from mlsys.lesson import build as build_module
from mlsys.lesson.build import build, difference, fill, from_bytes, notebook_path, picture, to_bytes, write
from mlsys.lesson.check import check, compared
from mlsys.lesson.run import NotebookError, assemble, execute, read_source, run_cells

PIXEL = "iVBORw0KGgo="

HEADER = """\
# %% [markdown]
# # 01 · Tiny
#
# **Objectives**
# - see
# - explain
# - fix
#
# **Time:** 5 minutes
#
# **Level:** E5 and E6

# %%
import matplotlib.pyplot as plt
import numpy as np
import ipywidgets
from mlsys import naive
from mlsys.lesson import claim, hood, number, predict, result, reveal, show_widget

# %% tags=["parameters"]
SEED = 7
ROWS = 100

"""

SECTION = """\
# %% [markdown]
# ## Section N
# **Interviewer:** "How high?" See step 1. of 2026, E5/E6, `0.5` and [a link](https://example.org/0.94).

# %%
predict("mean_N", "The mean?", low=0.0, high=1.0, default=0.4)

# %%
values = np.random.default_rng(SEED).random(ROWS)
print(len(naive.FEATURES))
reveal("mean_N", 0.5)
result(mean_N=0.5, rows_N=100)
claim("it is below one", values.mean() < 1)

# %%
figure = plt.plot(values)
plt.show()

# %% [markdown]
# The mean is {{mean_N:.2f}} over {{rows_N}} rows; one day holds 86,400 seconds. <!--fact: SI-->
#
# **What an interviewer hears**
# | E5 | a number |
# | E6 | its interval |

"""

FOOTER = """\
# %% tags=["explorer"]
show_widget(ipywidgets.IntSlider(), "at the default")
figure = plt.plot(values)
plt.show()

# %% tags=["tradeoffs"]
result(cost=0.25)

# %% tags=["contrast"]
print("E5 wins")

# %% [markdown]
# ## Commonly answered wrong

# %% [markdown] tags=["card"]
# before, after: {{cost}}

# %% tags=["hood"]
hood(number)

# %% [markdown]
# ## Drills
"""

GOOD = HEADER + "".join(SECTION.replace("N", str(n)) for n in (1, 2, 3)) + FOOTER
GOOD = GOOD.replace("# %%\nfigure", '# %% tags=["picture"]\nfigure', 1)


def source_file(folder: Path, text: str, name: str = "01_tiny.py") -> Path:
    path = folder / "notebooks" / "_source" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A source with every part that a notebook needs, built."""
    source = source_file(tmp_path_factory.mktemp("good"), GOOD)
    content = build(source)
    write(notebook_path(source), content)
    return source, content


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """What `mlsys.lesson` displays, in a folder of its own, outside `mlsys lab`."""
    bundles: list[dict[str, Any]] = []
    monkeypatch.setattr(lesson, "display", lambda bundle, raw: bundles.append(bundle))
    monkeypatch.setattr(lesson, "_predictions", {})
    monkeypatch.delenv("MLSYS_LAB", raising=False)
    monkeypatch.chdir(tmp_path)
    return bundles


# What cells call


def test_headless_prediction_is_the_default_and_nothing_is_written(
    shown: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lesson.predict("auc", "AUC?", low=0, high=100, default=50, unit="%")
    lesson.reveal("auc", np.int64(94))
    assert shown[0]["text/plain"] == "AUC? Your prediction: 50 % (default)"
    assert WIDGET_MIME in shown[0]
    assert capsys.readouterr().out == "you said 50 %, the run says 94 %: off by 44 %\n"
    assert not list(tmp_path.iterdir())


def test_lab_keeps_predictions_and_outcomes(shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLSYS_LAB", "1")
    monkeypatch.setenv("JPY_SESSION_NAME", "some/folder/01_tiny.ipynb")
    lesson.predict("auc", "AUC?", low=0.0, high=1.0, default=0.5)
    lesson._predictions["auc"].slider.value = 0.7
    for _ in range(2):  # a second Run All adds nothing
        lesson.reveal("auc", 0.94)
    lesson.predict("auc", "AUC?", low=0.0, high=1.0, default=0.5)
    assert "0.7 (kept)" in shown[-1]["text/plain"]
    records = [json.loads(line) for line in Path("predictions.jsonl").read_text("utf-8").splitlines()]
    here = {"notebook": "01_tiny", "name": "auc", "predicted": 0.7}
    assert records == [here, {**here, "outcome": 0.94}]
    monkeypatch.setenv("JPY_SESSION_NAME", "02_other.ipynb")
    lesson.predict("auc", "AUC?", low=0.0, high=1.0, default=0.5)
    assert "0.5 (default)" in shown[-1]["text/plain"]


def test_reveal_without_a_prediction_says_so(shown: list[dict[str, Any]]) -> None:
    with pytest.raises(MlsysError, match="nothing was predicted under 'f1'"):
        lesson.reveal("f1", 0.5)


def test_default_outside_the_slider_is_an_error(shown: list[dict[str, Any]]) -> None:
    with pytest.raises(MlsysError, match="not between low 0 and high 1"):
        lesson.predict("auc", "AUC?", low=0, high=1, default=2)


def test_result_is_rounded_structured_and_printed(shown: list[dict[str, Any]]) -> None:
    lesson.result(auc=np.float64(0.123456789), rows=np.int64(12_345), ok=np.bool_(True), kind="linear")
    assert shown[0][RESULT_MIME] == {"auc": 0.123457, "rows": 12345, "ok": True, "kind": "linear"}
    assert shown[0]["text/plain"] == "auc = 0.1235\nrows = 12,345\nok = True\nkind = linear"
    json.dumps(shown[0])


@pytest.mark.parametrize("value", [float("nan"), np.inf, [1], None, np.zeros(2)])
def test_result_refuses_what_cannot_be_compared(shown: list[dict[str, Any]], value: Any) -> None:
    with pytest.raises(MlsysError):
        lesson.result(value=value)


def test_a_claim_is_proved_or_raises(shown: list[dict[str, Any]]) -> None:
    lesson.claim("a > b", np.bool_(True))
    assert shown == [{CLAIM_MIME: {"claim": "a > b"}, "text/plain": "PROVED  a > b"}]
    with pytest.raises(ClaimRefuted, match="refuted: a < b") as caught:
        lesson.claim("a < b", False)
    assert isinstance(caught.value, AssertionError)
    with pytest.raises(MlsysError, match="is a list, not true or false"):
        lesson.claim("always", [False])  # type: ignore[arg-type]


def test_hood_shows_code_without_docstring_and_refuses_long_code(shown: list[dict[str, Any]]) -> None:
    lesson.hood(lesson.number)
    text = shown[0]["text/plain"]
    assert text.startswith("# mlsys.lesson.number\ndef number(")
    assert "as readers see it" not in text and "return f" in text
    with pytest.raises(MlsysError, match="lines of code"):
        lesson.hood(argparse.ArgumentParser)


# Sources, builds, runs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# %% [markdown]\nno hash", r"01_tiny.py:2: a line of a markdown cell"),
        ("# %% [raw]\nx", r"01_tiny.py:1: cannot read the cell marker"),
    ],
)
def test_unreadable_source_names_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(NotebookError, match=message):
        read_source(source_file(tmp_path, text))


def test_good_notebook_has_no_problem_and_rebuilds_to_the_same_bytes(
    good: tuple[Path, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, content = good
    assert check(source, notebook_path(source)) == []
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("MLSYS_LAB", "1")
    monkeypatch.setenv("MPLBACKEND", "agg")
    assert build(source_file(tmp_path, GOOD)) == content


def test_built_notebook_holds_figures_and_prose_but_nothing_random(good: tuple[Path, bytes]) -> None:
    source, content = good
    text = content.decode()
    assert text.endswith("}\n") and "\r" not in text
    assert "The mean is 0.50 over 100 rows" in text
    assert text.count('"image/png"') == 4
    assert WIDGET_MIME not in text and "at the default" in text and '"widgets"' not in text
    image = picture(content)
    assert image is not None and image.startswith(b"\x89PNG") and b"Matplotlib" not in image
    assert not list(source.parent.parent.glob("predictions*"))


def test_a_cell_that_is_not_compared_runs_and_keeps_nothing(tmp_path: Path) -> None:
    tagged = (
        '# %% tags=["nbval-ignore-output"]\nimport time\ntaken = time.monotonic()\ntaken\n\n# %%\nprint(taken > 0)\n'
    )
    cells = from_bytes(build(source_file(tmp_path, tagged))).cells
    assert cells[0].outputs == [] and cells[0].execution_count == 1
    assert cells[1].outputs[0]["text"] == "True\n"


def test_good_notebook_passes_nbval_strictly_and_an_altered_one_fails(good: tuple[Path, bytes], tmp_path: Path) -> None:
    altered = good[1].replace(b"mean_1 = 0.5", b"mean_1 = 0.6")
    for name, content in (("good", good[1]), ("altered", altered)):
        write(tmp_path / f"{name}.ipynb", content)
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    flags = ["-q", "--nbval", "--nbval-current-env", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *flags]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    failed = re.findall(r"^FAILED (\S+?)::", said, re.MULTILINE)
    assert failed == ["altered.ipynb"], said


def test_difference_names_the_first_cell_that_differs(good: tuple[Path, bytes], tmp_path: Path) -> None:
    source = source_file(tmp_path, GOOD)
    assert "does not exist" in str(difference(source, good[1]))
    write(notebook_path(source), good[1].replace(b"mean_2 = 0.5", b"mean_2 = 0.6"))
    told = str(difference(source, good[1]))
    assert "cell 11 (01_tiny.py:57) differs" in told
    assert source.read_text("utf-8").splitlines()[57 - 1].startswith("values = ")
    assert "mean_2 = 0.6" in told and "mean_2 = 0.5" in told
    write(notebook_path(source), good[1])
    assert "01_tiny.png is stale" in str(difference(source, good[1]))


def test_failing_cell_is_named_by_its_line_in_the_source(tmp_path: Path) -> None:
    source = source_file(tmp_path, "# %%\nx = 1\n\n# %%\n\ny = 2\nprint(1 / (x - 1))\n")
    with pytest.raises(NotebookError, match=r"01_tiny.py:7: ZeroDivisionError: division by zero") as caught:
        build(source)
    assert len(str(caught.value).splitlines()) < 12
    outcome = execute(source)
    assert outcome.error is not None and "01_tiny.py:7: ZeroDivisionError" in outcome.error


@pytest.mark.parametrize(
    ("prose", "message"),
    [
        ("{{mean_11}}", r"01_tiny.py:26: the prose names {{mean_11}}(?s:.*)did you mean mean_1\?"),
        ("{{mean_1:.2q}}", r"01_tiny.py:26: cannot write 0.5 as '.2q'"),
    ],
)
def test_placeholder_that_cannot_be_filled_names_its_line(tmp_path: Path, prose: str, message: str) -> None:
    source = source_file(tmp_path, GOOD.replace("# **Interviewer:** ", f"# {prose} **Interviewer:** ", 1))
    path = fake_build(source)
    assert any(re.search(message, f"{problem.message}\n{problem.fix}") for problem in check(source, path))


def test_execute_injects_parameters_and_reports_results(good: tuple[Path, bytes]) -> None:
    seen: list[tuple[int, int]] = []
    outcome = execute(good[0], parameters={"ROWS": 10}, on_cell=lambda done, of: seen.append((done, of)))
    assert outcome.error is None and outcome.name == "01_tiny" and outcome.seconds > 0
    assert outcome.claims == ["it is below one"] * 3
    assert outcome.results["cost"] == 0.25
    assert len(outcome.figures) == 4 and all(figure.startswith(b"\x89PNG") for figure in outcome.figures)
    assert seen[0] == (0, 16) and seen[-1] == (16, 16)
    with pytest.raises(NotebookError, match="has no parameter ROW"):
        execute(good[0], parameters={"ROW": 10})


# The check: one good notebook, broken rule by rule


def fake_build(source: Path) -> Path:
    """The notebook of a source as if it had been executed; quick, and also for sources that cannot run."""
    cells = read_source(source)
    notebook = assemble(cells)
    values: dict[str, Any] = {}
    count = 0
    for built in notebook.cells:
        if built.cell_type != "code":
            continue
        count += 1
        built.execution_count = count
        if "plt.show()" in built.source:
            built.outputs.append(_output({"image/png": PIXEL}))
        for call in re.findall(r"^result\((.*)\)$", built.source, re.MULTILINE):
            pairs = {word.arg: ast.literal_eval(word.value) for word in ast.parse(f"f({call})").body[0].value.keywords}
            values |= pairs
            built.outputs.append(_output({RESULT_MIME: pairs}))
    for cell, built in zip(cells, notebook.cells, strict=True):
        if cell.kind == "markdown":
            with contextlib.suppress(NotebookError):
                built.source = fill(source, cell, values)
    path = notebook_path(source)
    write(path, to_bytes(notebook))
    return path


def _output(data: dict[str, Any]) -> Any:
    return nbformat.from_dict({"output_type": "display_data", "data": data, "metadata": {}})


BROKEN = {
    "title": ("# # 01 · Tiny", "# # Tiny", "the title is missing"),
    "objectives": ("# - see\n", "", "2 objectives"),
    "time": ("**Time:** 5 minutes", "**Time:** short", "no time in the first cell"),
    "level": ("# **Level:** E5 and E6", "#", "no level in the first cell"),
    "no parameters": ('# %% tags=["parameters"]', "# %%", "0 cells tagged parameters"),
    "computed parameter": ("ROWS = 100", "ROWS = len([])", "not a parameter"),
    "lower-case parameter": ("ROWS = 100", "rows = 100", "not a parameter"),
    "code before parameters": (
        "from mlsys import naive\n",
        "from mlsys import naive\nx = 1\n",
        "before the parameters",
    ),
    "too few sections": (SECTION.replace("N", "3"), "", "2 full sections"),
    "no interviewer": ("**Interviewer:**", "**Someone:**", "'## Section 1': **Interviewer:** is missing"),
    "no naive": ("print(len(naive.FEATURES))", "print(4)", "naive. is missing"),
    "claim before reveal": (
        'reveal("mean_1", 0.5)\nresult(mean_1=0.5, rows_1=100)\nclaim("it is below one", values.mean() < 1)',
        'claim("it is below one", values.mean() < 1)\nresult(mean_1=0.5, rows_1=100)\nreveal("mean_1", 0.5)',
        "claim( is out of order",
    ),
    "naive after reveal": (
        'print(len(naive.FEATURES))\nreveal("mean_1", 0.5)',
        'reveal("mean_1", 0.5)\nprint(len(naive.FEATURES))',
        "reveal( is out of order",
    ),
    "no claim": ('claim("it is below one", values.mean() < 1)', "print(1)", "claim( is missing"),
    "E6 not heard": ("# | E6 | its interval |", "#", "**What an interviewer hears** is missing"),
    "no figure": ("plt.show()", "print()", "no figure with its numbers"),
    "no numbers beside it": ("result(mean_1=0.5, rows_1=100)", "print(100)", "no figure with its numbers"),
    "no tradeoffs": ('tags=["tradeoffs"]', 'tags=["trade"]', "0 cells tagged tradeoffs"),
    "no contrast": ('tags=["contrast"]', 'tags=["versus"]', "0 cells tagged contrast"),
    "two cards": ('tags=["tradeoffs"]', 'tags=["tradeoffs", "card"]', "2 cells tagged card"),
    "no hood": ('tags=["hood"]', 'tags=["bonnet"]', "0 cells tagged hood"),
    "no explorer": ('tags=["explorer"]', 'tags=["slider"]', "0 cells tagged explorer"),
    "explorer without figure": (
        '"at the default")\nfigure = plt.plot(values)\nplt.show()',
        '"at the default")',
        "no static figure",
    ),
    "no wrong answers": ("## Commonly answered wrong", "## Wrong", "0 headings '## Commonly answered wrong'"),
    "no drills": ("## Drills", "## More", "0 headings '## Drills'"),
    "long cell": ("result(cost=0.25)", "result(cost=0.25)\n" + "x = 1\n" * 12, "13 lines in a cell"),
    "long line": ("result(cost=0.25)", "result(cost=0.25)  # " + "x" * 99, "characters in a line"),
    "function": ("result(cost=0.25)", "result(cost=0.25)\ndef f(): pass", "a definition in a notebook"),
    "lambda": ("result(cost=0.25)", "result(cost=0.25)\nf = lambda: 1", "a definition in a notebook"),
    "class": ("result(cost=0.25)", "result(cost=0.25)\nclass C: pass", "a definition in a notebook"),
    "magic": ("result(cost=0.25)", "result(cost=0.25)\n%time 1", "a magic or shell line"),
    "shell": ("result(cost=0.25)", "result(cost=0.25)\n!ls", "a magic or shell line"),
    "syntax": ("result(cost=0.25)", "result(cost=0.25)\n1 +", "not Python"),
    "unpaired reveal": ('predict("mean_1"', 'predict("mode"', "reveal('mean_1') has 0 predict()"),
    "unpaired predict": ('reveal("mean_1", 0.5)', 'reveal("mean_2", 0.5)', "predict('mean_1') has 0 reveal()"),
    "result twice": ("result(cost=0.25)", "result(mean_1=0.25, cost=1)", "result 'mean_1' is emitted twice"),
    "fact without a source": ("<!--fact: SI-->", "<!--fact: -->", "'86,400 seconds' in the prose"),
    "too little compared": ("# %%\n", '# %% tags=["nbval-ignore-output"]\n', "nbval compares 6 of 15"),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_check_names_the_broken_rule(tmp_path: Path, rule: str) -> None:
    old, new, message = BROKEN[rule]
    assert old in GOOD
    source = source_file(tmp_path, GOOD.replace(old, new, -1 if rule == "too little compared" else 1))
    problems = check(source, fake_build(source))
    assert any(message in problem.message for problem in problems), problems


def test_the_unbroken_fixture_is_good(tmp_path: Path) -> None:
    source = source_file(tmp_path, GOOD)
    assert check(source, fake_build(source)) == []


UNBOUND = """0.94|.5|94 %|94%|7 percent|100 ms|3 s|20 µs|5 MB|10,000 random events|10⁶ events|1,000 users|7 days
30-minute|2 hours|10x|10×|5M|100K|1 million|2,000 QPS|77 requests"""
FINE = """E5/E6|step 1. and 2.|notebook 01|in 2026|two seeds|20 seeds|p99|`0.5 ms`|{{cost}} ms|step 3 of 7
[x](https://example.org/3.5)|https://example.org/1.0|86,400 s <!--fact: SI-->"""


@pytest.mark.parametrize("number", re.split(r"[|\n]", UNBOUND))
def test_unbound_numbers_in_prose_are_found(tmp_path: Path, number: str) -> None:
    source = source_file(tmp_path, GOOD.replace("# before, after", f"# it was\n# ({number}), after"))
    (problem,) = check(source, fake_build(source))
    assert "is bound to no run" in problem.message
    assert source.read_text("utf-8").splitlines()[problem.line - 1].startswith("# (")


@pytest.mark.parametrize("prose", re.split(r"[|\n]", FINE))
def test_other_numbers_in_prose_are_fine(tmp_path: Path, prose: str) -> None:
    source = source_file(tmp_path, GOOD.replace("# before, after", f"# it was\n# {prose}, after"))
    assert check(source, fake_build(source)) == []


def _stripped(notebook: Any) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def _append(output: dict[str, Any]) -> Callable[[Any], None]:
    return lambda notebook: notebook.cells[1].outputs.append(nbformat.from_dict(output))


STALE: dict[str, tuple[Callable[[Any], None], str]] = {
    "stripped": (_stripped, "executed as None, not as 1"),
    "out of order": (lambda n: n.cells[1].update(execution_count=9), "executed as 9, not as 1"),
    "stderr": (
        _append({"output_type": "stream", "name": "stderr", "text": "warning"}),
        "it writes to stderr",
    ),
    "error": (
        _append({"output_type": "error", "ename": "KeyError", "evalue": "", "traceback": []}),
        "it fails: KeyError",
    ),
    "kernel": (lambda n: n.metadata.kernelspec.update(name="conda-env"), "is not python3"),
    "code changed": (lambda n: n.cells[2].update(source="SEED = 8"), "cell 3 of 01_tiny.ipynb is not this one"),
    "prose changed": (lambda n: n.cells[7].update(source="The mean is 0.60"), "cell 8 of 01_tiny.ipynb is not"),
    "cell missing": (lambda n: n.cells.pop(), "cells, its source"),
}


@pytest.mark.parametrize("fault", STALE)
def test_check_finds_a_notebook_that_is_not_its_source(good: tuple[Path, bytes], tmp_path: Path, fault: str) -> None:
    spoil, message = STALE[fault]
    notebook = from_bytes(good[1])
    spoil(notebook)
    path = tmp_path / "01_tiny.ipynb"
    write(path, to_bytes(notebook))
    assert any(message in problem.message for problem in check(good[0], path))


def test_check_reports_all_problems_at_once_by_line(tmp_path: Path) -> None:
    source = source_file(tmp_path, GOOD.replace("# # 01 · Tiny", "# # Tiny").replace("## Drills", "## 0.94"))
    problems = check(source, tmp_path / "missing.ipynb")
    assert len(problems) >= 4 and [p.line for p in problems] == sorted(p.line for p in problems)
    assert "cannot be read" in str(problems[0]) + str(problems[1]) + str(problems[2])


def test_compared_counts_tagged_cells(tmp_path: Path) -> None:
    text = '# %%\n1\n\n# %% tags=["nbval-ignore-output"]\n2\n\n# %% [markdown]\n# x\n'
    assert compared(read_source(source_file(tmp_path, text))) == (1, 2)


# The commands


def run_command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    cli.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(words)
    return int(arguments.handler(arguments))


@pytest.fixture
def checkout(good: tuple[Path, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one source, already built."""
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    write(notebook_path(source_file(tmp_path, GOOD)), good[1])
    return tmp_path


def test_build_command_writes_notebook_and_picture_and_check_finds_them_fresh(
    checkout: Path, good: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "build", lambda source, on_cell: on_cell(15, 15) or good[1])
    assert run_command("notebook", "build", "--check") == 1
    assert "01_tiny.png is stale or missing" in capsys.readouterr().err
    assert run_command("notebook", "build", "1") == 0
    assert (checkout / ".github" / "01_tiny.png").read_bytes() == picture(good[1])
    assert run_command("notebook", "build", "--check") == 0
    assert capsys.readouterr().out.endswith("0 problems; nbval compares 15 of 15 code cells (100%)\n")
    assert not list(checkout.rglob("*.part"))
    with pytest.raises(MlsysError, match="there is no notebook 07"):
        run_command("notebook", "build", "7")


def test_fresh_copy_has_no_outputs_and_hides_what_will_be_measured(checkout: Path) -> None:
    (source,) = cli.sources()
    notebook = from_bytes(cli.fresh_copy(source))
    assert notebook.cells[0].source.startswith("> ▢ is a number")
    assert "The mean is ▢ over ▢ rows" in notebook.cells[7].source
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    assert notebook.cells[-1].source.endswith("filled('01_tiny')")


def test_the_last_cell_of_a_copy_fills_the_blanks_that_were_measured(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []
    monkeypatch.setattr(build_module, "SOURCES", cli.sources()[0].parent)
    monkeypatch.setattr(build_module, "display", lambda markdown: texts.append(markdown.data))
    monkeypatch.setattr(build_module, "emitted", {"rows_1": 7})
    build_module.filled("01_tiny")
    assert any("The mean is ▢ over 7 rows" in text for text in texts)


def test_a_refuted_claim_shows_the_readers_line_and_not_the_package(tmp_path: Path) -> None:
    source = source_file(tmp_path, "# %%\nfrom mlsys.lesson import claim\n\nclaim('one is two', 1 == 2)\n")
    notebook, error = run_cells(source, read_source(source))
    (shown,) = [o for cell in notebook.cells for o in cell.outputs if o.output_type == "error"]
    assert "line 3" in shown.traceback[0] and "claim('one is two', 1 == 2)" in shown.traceback[1]
    assert len("\n".join(shown.traceback).splitlines()) < 8
    assert "01_tiny.py:4" in str(error)


def test_lab_never_overwrites_and_says_when_a_source_changed(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[tuple[list[str], dict[str, str]]] = []

    class Server:
        def __init__(self, command: list[str], env: dict[str, str]) -> None:
            started.append((command, env))

        def wait(self) -> int:
            return 0

    monkeypatch.setattr(cli.subprocess, "Popen", Server)
    folder = checkout / "my work"
    assert run_command("lab", "--no-browser", "--port", "9999", "--folder", str(folder)) == 0
    command, env = started[0]
    assert {"--ServerApp.ip=127.0.0.1", "--ServerApp.port=9999", "--no-browser"} <= set(command)
    assert f"--ServerApp.root_dir={folder}" in command and env["MLSYS_LAB"] == "1"
    assert "01_tiny.ipynb: a fresh copy for you" in capsys.readouterr().out
    copy = folder / "01_tiny.ipynb"
    mine = copy.read_bytes().replace(b"SEED = 7", b"SEED = 8")
    copy.write_bytes(mine)
    source_file(checkout, GOOD + "# more\n")
    run_command("lab", "--folder", str(folder))
    assert copy.read_bytes() == mine
    assert "changed since your copy was made; for the new one: mlsys notebook reset 01" in capsys.readouterr().out


def test_reset_keeps_every_earlier_copy(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = checkout / "work"
    reset = ("notebook", "reset", "01", "--folder", str(folder))
    run_command(*reset)
    for mine in (b"mine", b"mine again"):
        (folder / "01_tiny.ipynb").write_bytes(mine)
        run_command(*reset)
    assert (folder / "01_tiny.before-reset.ipynb").read_bytes() == b"mine"
    assert (folder / "01_tiny.before-reset-2.ipynb").read_bytes() == b"mine again"
    assert b"SEED = 7" in (folder / "01_tiny.ipynb").read_bytes()
    assert "your copy is now 01_tiny.before-reset.ipynb" in capsys.readouterr().out
    assert run_command("notebook", "list", "--folder", str(folder)) == 0
    assert re.fullmatch(r"01 · Tiny +your copy is up to date\n", capsys.readouterr().out)
