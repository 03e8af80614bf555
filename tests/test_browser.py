"""Notebook 01 and a drill in a real JupyterLab, in a real browser: run, move sliders, type, see what changes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlsys.lesson import number
from mlsys.lesson.run import read_source

SOURCE = Path(__file__).resolve().parents[1] / "notebooks" / "_source" / "01_introduction.py"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SECOND = 1000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium installed (Debian: apt-get install chromium)"),
    pytest.mark.skipif(sys.platform == "win32", reason="ends JupyterLab with a Ctrl-C to its process group"),
]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a running `mlsys lab` and its folder."""
    folder = tmp_path / "work"
    command = [sys.executable, "-m", "mlsys", "lab", "--no-browser", "--port", "9871", "--folder", str(folder)]
    homes = {"JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"), "JUPYTER_RUNTIME_DIR": str(tmp_path / "run")}
    server = subprocess.Popen(
        command,
        env={**os.environ, **homes, "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    said = []
    try:
        assert server.stdout is not None
        for line in server.stdout:
            said.append(line)
            address = re.search(r"http://127\.0\.0\.1:\S+token=\S+", line)
            if address:
                yield address[0], folder
                break
        else:
            pytest.fail("mlsys lab ended:\n" + "".join(said))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGINT)
        server.communicate(timeout=60)
    assert server.returncode == 0, "Ctrl-C ends mlsys lab without an error"


@pytest.fixture
def page() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright (pip install playwright)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        tab = browser.new_page(viewport={"width": 1400, "height": 1000})
        tab.set_default_timeout(90 * SECOND)
        yield tab
        browser.close()


def run_all(page: Any) -> None:
    """Kernel > Restart Kernel and Run All Cells, and wait until the last cell has run."""
    count = sum(cell.kind == "code" for cell in read_source(SOURCE)) + 1  # and the cell that fills the blanks
    last = page.locator(".jp-CodeCell").last.locator(".jp-InputPrompt")
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("Restart Kernel and Run All Cells")).click()
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    last.filter(has_text="[*]").wait_for(state="attached")
    errors = page.locator("[data-mime-type='application/vnd.jupyter.stderr'], [data-mime-type$='.error']")
    last.filter(has_text=f"[{count}]:").or_(errors.first).first.wait_for(state="attached")
    assert not errors.count(), errors.first.text_content()
    page.locator(".jp-StatusBar-TextItem", has_text="Idle").wait_for()


def shoot(page: Any, name: str) -> None:
    """Keep a screenshot where MLSYS_SCREENSHOTS says, for people to look at."""
    if "MLSYS_SCREENSHOTS" in os.environ:
        page.screenshot(path=Path(os.environ["MLSYS_SCREENSHOTS"]) / f"{name}.png")


def test_sliders_change_number_and_figure_and_a_prediction_is_kept(lab: tuple[str, Path], page: Any) -> None:
    address, folder = lab
    page.goto(address)
    page.locator(".jp-StatusBar-TextItem", has_text="Idle").wait_for()
    shoot(page, "opened")
    run_all(page)

    explorer = page.locator(".widget-vbox:has(> .mlsys-explorer-figure)")
    figure, label = explorer.locator("img.mlsys-explorer-figure"), explorer.locator(".mlsys-explorer-number")
    handle = explorer.locator(".noUi-handle").first
    handle.scroll_into_view_if_needed()
    shoot(page, "explorer_before")
    source, text = figure.get_attribute("src"), label.text_content()
    handle.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("([e, old]) => e.src !== old", arg=[figure.element_handle(), source])
    page.wait_for_function("([e, old]) => e.textContent !== old", arg=[label.element_handle(), text])
    page.wait_for_function("e => e.complete && e.naturalWidth > 100", arg=figure.element_handle())
    shoot(page, "explorer_after")

    question = page.locator(".widget-vbox:not(:has(.mlsys-explorer-figure))").first
    handle, readout = question.locator(".noUi-handle"), question.locator(".widget-readout")
    handle.scroll_into_view_if_needed()
    asked = readout.text_content()
    handle.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("([e, old]) => e.textContent !== old", arg=[readout.element_handle(), asked])
    answer = readout.text_content()
    shoot(page, "predicted")
    run_all(page)
    kept = [json.loads(line) for line in (folder / "predictions.jsonl").read_text("utf-8").splitlines()]
    first = next(record for record in reversed(kept) if record["name"] == kept[0]["name"] and "outcome" in record)
    assert (first["notebook"], first["predicted"]) == (SOURCE.stem, float(answer))
    assert readout.text_content() == answer, "the slider starts where the reader left it"
    assert page.get_by_text(f"you said {number(float(answer))}").count(), "and reveal() compares with it"


BOARD = """data collection -> data verification -> feature extraction -> feature store: values
feature store -> ml code -> evaluation pipeline -> server
feature store -> server: online features
server -> data collection: impressions
"""


def test_a_whiteboard_is_drawn_while_typing_and_checked(lab: tuple[str, Path], page: Any) -> None:
    address, folder = lab
    page.goto(re.sub(r"/lab[^?]*", "/lab/tree/drills/01_whiteboard.ipynb", address))
    page.locator(".jp-StatusBar-TextItem", has_text="Idle").wait_for()
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("Restart Kernel and Run All Cells")).click()
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    text = page.locator(".mlsys-board-text textarea")
    text.wait_for()
    page.get_by_text("nothing is answered yet").first.wait_for()  # Run All costs nothing
    shoot(page, "drill_started")

    picture, note = page.locator("img.mlsys-board-picture"), page.locator(".mlsys-board-note")
    text.scroll_into_view_if_needed()
    source = picture.get_attribute("src")
    text.click()
    page.keyboard.type("server ->")
    note.filter(has_text="without a box").wait_for()
    text.fill(BOARD)
    note.filter(has_text="arrows, saved").wait_for()
    page.wait_for_function("([e, old]) => e.src !== old", arg=[picture.element_handle(), source])
    page.wait_for_function("e => e.complete && e.naturalWidth > 100", arg=picture.element_handle())
    shoot(page, "drill_board")
    (answer,) = folder.glob("drills/01_whiteboard/*/answer.toml")
    assert "server -> data collection: impressions" in answer.read_text("utf-8")

    last = page.locator(".jp-CodeCell").last
    last.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    last.get_by_text("so far; a human has yet to score").wait_for()
    shoot(page, "drill_checked")
    assert last.get_by_text("locked").count() and (folder / "progress.db").exists()
