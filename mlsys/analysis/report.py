"""The report: one HTML file that needs nothing else, to be opened, kept or mailed."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from mlsys.analysis.style import png
from mlsys.verification import Report

Section = tuple[str, str, pd.DataFrame | None, Figure | bytes | None]
"""(heading, text, table, figure); empty heading continues the section above."""

CSS = """
body{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem} h2{font-size:1.2rem;margin-top:2.5rem;border-top:1px solid #ddd;padding-top:1rem}
table{border-collapse:collapse;font-size:.85rem;display:block;overflow-x:auto}
th,td{text-align:left;padding:.25rem .9rem .25rem 0;border-bottom:1px solid #eee;vertical-align:top}
td{font-variant-numeric:tabular-nums} img{max-width:100%;height:auto;margin:.5rem 0} p{white-space:pre-line}
"""


def write_report(path: Path, title: str, sections: Sequence[Section], scoreboard: pd.DataFrame) -> None:
    """Write the page: scoreboard first, then the sections. The file appears when it is complete, or not at all."""
    parts = [f"<h1>{html.escape(title)}</h1>", "<h2>Scoreboard</h2>", _table(scoreboard)]
    for heading, text, table, figure in sections:
        parts += [f"<h2>{html.escape(heading)}</h2>"] if heading else []
        parts += [f"<p>{html.escape(text)}</p>"] if text else []
        parts += [_picture(figure, heading)] if figure is not None else []
        parts += [_table(table)] if table is not None and len(table) else []
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{CSS}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )
    part = path.with_name(path.name + ".part")
    part.write_text(page, encoding="utf-8", newline="\n")
    part.replace(path)


def write_verification(path: Path, title: str, report: Report, *, rows: int = 100) -> None:
    """What `verify` found, as a page: every check, and the first `rows` failure cases and quarantined events."""
    cases, aside = report.failure_cases, report.quarantine
    verdict = "passed" if report.passed else "failed"
    counts = (
        f"The batch {verdict}: {len(report.events):,} events in, {len(report.clean):,} clean, {len(aside):,} set aside."
    )
    sections: list[Section] = [
        ("Verdict", counts, None, None),
        ("Failure cases", f"{len(cases):,} in all, the first {min(rows, len(cases)):,} here.", cases.head(rows), None),
        ("Quarantine", f"{len(aside):,} events, the first {min(rows, len(aside)):,} here.", aside.head(rows), None),
    ]
    write_report(path, title, sections, report.frame())


def _table(frame: pd.DataFrame) -> str:
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in frame.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(value))}</td>" for value in row) + "</tr>"
        for row in frame.itertuples(index=False)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(value: object) -> str:
    return (
        f"{value:,.4g}"
        if isinstance(value, float) and abs(value) < 1e4
        else f"{value:,.0f}"
        if isinstance(value, float)
        else str(value)
    )


def _picture(figure: Figure | bytes, alt: str) -> str:
    data = figure if isinstance(figure, bytes) else png(figure)
    return f'<img alt="{html.escape(alt, quote=True)}" src="data:image/png;base64,{base64.b64encode(data).decode()}">'
