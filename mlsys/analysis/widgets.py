"""Explorers: at most three sliders, one number, one figure, recomputed when a slider moves.

The figure is an image widget, not captured output: it shows in any front end, and the same bundle carries the
picture at the defaults, which is what a page without a kernel shows.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import ipywidgets
import numpy as np
from IPython.display import display
from matplotlib.figure import Figure

from mlsys.analysis import plots
from mlsys.analysis.style import png
from mlsys.monitoring.policy import AlertPolicy, grade

THRESHOLDS = np.round(np.geomspace(0.02, 0.5, 25), 3)


def explorer(draw: Callable[..., tuple[Figure, str]], **controls: Any) -> None:
    """Show sliders over `draw(**values) -> (figure, text)`."""

    def show(_: Any = None) -> bytes:
        drawn, text = draw(**{name: control.value for name, control in controls.items()})
        picture.value, number.value = png(drawn), text
        return bytes(picture.value)

    picture, number = ipywidgets.Image(format="png", width=760), ipywidgets.HTML()
    picture.add_class("mlsys-explorer-figure")
    number.add_class("mlsys-explorer-number")
    still = show()
    for control in controls.values():
        control.observe(show, names="value")
    box = ipywidgets.VBox([*controls.values(), number, picture])
    bundle = {
        "application/vnd.jupyter.widget-view+json": {
            "version_major": 2,
            "version_minor": 0,
            "model_id": box.model_id,
        },
        "image/png": base64.b64encode(still).decode(),
        "text/plain": f"at the defaults: {number.value}",
    }
    display(bundle, raw=True)  # type: ignore[no-untyped-call]


def alert_explorer(*, null_share: float, seeds: range) -> None:
    """Coverage against alert fatigue: threshold, log volume and significance test of an alert policy."""

    def draw(threshold: float, rows: int, test: bool) -> tuple[Figure, str]:
        chosen = AlertPolicy("chosen", threshold / 100, 0.05 if test else None)
        means = grade(chosen, rows_per_day=rows, null_share=null_share, seeds=seeds)[["false_alarms", "caught"]].mean()
        curves = {}
        for name, rate in (("threshold only", None), ("threshold and test", 0.05)):
            graded = [
                grade(AlertPolicy(name, float(t), rate), rows_per_day=rows, null_share=null_share, seeds=seeds)
                for t in THRESHOLDS
            ]
            curves[name] = np.array([g[["false_alarms", "caught"]].mean().to_numpy() for g in graded])
        text = f"{means['false_alarms']:.0%} of healthy days page, {means['caught']:.0%} of bad days are caught"
        return plots.alert_curves(curves, (means["false_alarms"], means["caught"]), text), text

    wide: dict[str, Any] = {
        "continuous_update": False,
        "style": {"description_width": "13em"},
        "layout": {"width": "36em"},
    }
    explorer(
        draw,
        threshold=ipywidgets.IntSlider(10, 2, 50, 1, description="page when moved by %", **wide),
        rows=ipywidgets.SelectionSlider(
            options=[100, 300, 1_000, 3_000, 10_000, 30_000], value=1_000, description="rows a day", **wide
        ),
        test=ipywidgets.Checkbox(False, description="and only if significant"),
    )
