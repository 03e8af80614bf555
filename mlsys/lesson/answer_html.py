"""The answer on paper: two pages, seven cards to cut out, an empty whiteboard. Each is one HTML file without scripts.

No page names a paper: sizes leave room on A4 and on Letter, and the reader's printer decides.
"""

from __future__ import annotations

import html
from itertools import accumulate

from mlsys.analysis.architecture import EVERYTHING, FLOWS
from mlsys.analysis.style import FIXED, INK, LINE, MUTED
from mlsys.analysis.whiteboard import PLACE
from mlsys.lesson.answer import MARKED, Answer, Step

FIRST_PAGE = 4
"""Steps on page one; the others, the clock and the notebooks are on page two."""

BASE = f"""
:root{{--accent:{FIXED};--ink:{INK};--muted:{MUTED};--line:{LINE}}}
*{{box-sizing:border-box;margin:0;padding:0}}
body{{font:9pt/1.24 "Helvetica Neue",Helvetica,Arial,"Liberation Sans","DejaVu Sans Condensed",sans-serif;
color:var(--ink);background:#fff;-webkit-print-color-adjust:exact;print-color-adjust:exact}}
b{{white-space:nowrap;font-weight:700;font-variant-numeric:tabular-nums;color:var(--accent)}}
.page{{break-after:page;width:100%}} .page:last-child{{break-after:auto}}
.disc{{display:inline-block;width:1.55em;height:1.55em;line-height:1.5em;border-radius:50%;text-align:center;
background:var(--accent);color:#fff;font-weight:700}}
@media screen{{body{{max-width:200mm;margin:8mm auto;padding:0 4mm}} .page{{margin-bottom:12mm}}}}
"""

ANSWER = """
@page{margin:8mm 9mm}
header{display:flex;justify-content:space-between;align-items:baseline;gap:6mm;margin-bottom:1.2mm}
h1{font-size:14pt;line-height:1.1;white-space:nowrap} header p{color:var(--muted);text-align:right}
h2{font-size:11pt;line-height:1.2;display:inline}
.row{display:grid;grid-template-columns:42fr 17fr 24fr 17fr;column-gap:2.5mm}
.legend{color:var(--muted);font-weight:700;border-bottom:1.2pt solid var(--ink);padding-bottom:.4mm}
.head{display:flex;gap:2mm;align-items:baseline;margin-top:2mm;padding-bottom:.6mm}
.head em{flex:1} .head span:last-child{color:var(--muted);white-space:nowrap}
.claim{border-top:.5pt solid var(--line);padding:.6mm 0 .7mm}
.claim i{font-style:normal;color:var(--muted);white-space:nowrap}
.claim>:last-child{font-style:italic}
.clock{display:flex;margin-top:3.5mm;text-align:center} .clock div{border-top:2.4mm solid var(--accent);
margin-right:.6mm;padding-top:.6mm;white-space:nowrap} .clock div:nth-child(even){border-color:#7fb8d8}
.clock small{display:block;font-size:8.5pt;color:var(--muted)}
footer{margin-top:2mm;color:var(--muted);border-top:.5pt solid var(--line);padding-top:1mm}
"""


def answer_page(answer: Answer) -> str:
    """The two pages: claims of steps 1 to 4, then 5 to 7 with the clock and the notebooks that were read."""
    legend = "<span>I say</span><span>E5</span><span>E6 adds</span><span>They ask next</span>"
    legend = f'<div class="row legend">{legend}</div>'
    note = "<p>Each claim is proved by a run: <i>05 §2</i> is notebook 05, section 2.</p>"
    parts = []
    for steps, title in ((answer.steps[:FIRST_PAGE], "Ranking a feed in 45 minutes"), (answer.steps[FIRST_PAGE:], "")):
        head = f"<header><h1>{title}</h1>{note}</header>" if title else ""
        tail = "" if title else _clock(answer.steps) + _footer(answer)
        parts.append(f'<section class="page">{head}{legend}{"".join(map(_step, steps))}{tail}</section>')
    return _document("Ranking a feed in 45 minutes", ANSWER, "\n".join(parts))


def _step(step: Step) -> str:
    head = (
        f'<div class="head"><span class="disc">{step.number}</span><h2>{html.escape(step.name)}</h2>'
        f"<em>“{_text(step.opening)}”</em><span>{step.minutes} min</span></div>"
    )
    rows = [
        f'<div class="row claim"><div>{_text(p.say)} <i>{html.escape(p.source)}</i></div><div>{_text(p.e5)}</div>'
        f"<div>{_text(p.e6)}</div><div>{_text(p.then)}</div></div>"
        for p in step.points
    ]
    return "\n".join([head, *rows])


def _clock(steps: tuple[Step, ...]) -> str:
    ends = accumulate(step.minutes for step in steps)
    cells = [
        f'<div style="flex:{step.minutes}">{step.number} to min {end}<small>{_short(step)}</small></div>'
        for step, end in zip(steps, ends, strict=True)
    ]
    return f'<div class="clock">{"".join(cells)}</div>'


def _short(step: Step) -> str:
    """The step in a word or two, for a narrow column."""
    return ("requirements", "framing", "data", "model", "evaluation", "serving", "monitoring")[step.number - 1]


def _footer(answer: Answer) -> str:
    read = " · ".join(f"{n.name[:2]} {n.digest}" for n in answer.notebooks)
    seeds = ", ".join(sorted({n.seed for n in answer.notebooks}))
    return f"<footer>Notebooks, seed {seeds}: {read}</footer>"


CARDS = """
@page{margin:8mm 9mm}
body{font-size:10pt}
.cards{display:grid;grid-template-columns:1fr 1fr;padding:.4mm}
.card{border:.6pt dashed var(--muted);margin:-.3pt;padding:5mm;break-inside:avoid;height:128mm}
.card header{display:flex;align-items:center;gap:2mm;margin-bottom:2.5mm} .card h2{font-size:12pt;flex:1}
.card em{display:block;margin-bottom:3.5mm} .card td{padding:1.4mm 0;border-top:.5pt solid var(--line);
vertical-align:baseline} .card table{border-collapse:collapse;width:100%}
.card td:first-child{text-align:right;padding-right:2.5mm;white-space:nowrap}
.card td:last-child{color:var(--muted);text-align:right;width:16mm;padding-left:2mm;font-size:8.5pt}
.card p{margin-bottom:2.5mm}
"""


def cards_page(answer: Answer) -> str:
    """One card per step, to be cut along the dashes; what is left over says how to use them."""
    cards = []
    for step in answer.steps:
        rows = "".join(
            f"<tr><td>{_text(number)}</td><td>{_text(what)}</td><td>{html.escape(source)}</td></tr>"
            for number, what, source in step.quotes
        )
        cards.append(
            f'<div class="card"><header><span class="disc">{step.number}</span><h2>{html.escape(step.name)}</h2>'
            f"<span>{step.minutes} min</span></header><em>“{_text(step.opening)}”</em><table>{rows}</table></div>"
        )
    cards.append(
        '<div class="card"><header><h2>How to use them</h2></header>'
        "<p>Cover the left column and say the number.</p><p>Then say what it decides, and at which number you would "
        "decide otherwise.</p><p>A number you cannot explain is worse than none. On the right stands the notebook and "
        "the section that measured it: open it, change one knob, run it again.</p></div>"
    )
    return _document("Numbers to quote", CARDS, f'<div class="cards">{"".join(cards)}</div>')


WHITEBOARD = """
@page{size:landscape;margin:9mm 10mm}
@media screen{body{max-width:277mm}}
.board{display:grid;grid-template-columns:repeat(10,1fr);gap:2.5mm;height:186mm;padding:.4mm;
grid-template-rows:44mm 1fr 46mm}
.box{border:.9pt solid var(--ink);border-radius:2mm;padding:2mm;grid-column:span 2}
.box.wide{grid-column:span 5} .box.all{grid-column:1/-1;border-style:dashed;border-color:var(--line);padding:1mm;
min-height:0}
.box header{display:flex;align-items:center;gap:1.5mm} .box h2{font-size:9pt;line-height:1.15;flex:1}
.box header span:last-child{color:var(--muted);white-space:nowrap}
svg{width:100%;height:100%;display:block}
"""


def whiteboard_page(answer: Answer) -> str:
    """An empty sheet, landscape: a box per step with its minutes, the twelve components as a faint skeleton."""
    boxes = [
        f'<div class="box{" wide" if step.number <= 2 else ""}"><header><span class="disc">{step.number}</span>'
        f"<h2>{html.escape(step.name)}</h2><span>{step.minutes} min</span></header></div>"
        for step in answer.steps
    ]
    boxes.insert(2, f'<div class="box all">{_skeleton()}</div>')
    return _document("Whiteboard", WHITEBOARD, f'<section class="board">{"".join(boxes)}</section>')


def _skeleton() -> str:
    """The components at the places that the drills' whiteboard gives them, and what flows between neighbours."""
    across, down, width, height = 250, 92, 150, 40
    centre = {name: (100 + across * column, 25 + down * row) for name, (row, column) in PLACE.items()}
    shapes = []
    for flow in FLOWS:
        if flow.target == EVERYTHING:
            continue
        (x, y), (u, v) = centre[flow.source], centre[flow.target]
        if y == v and abs(u - x) == across:
            side = 1 if u > x else -1
            path = f"M{x + side * width / 2} {y}H{u - side * (width / 2 + 4)}"
        elif x == u:
            side = 1 if v > y else -1
            path = f"M{x} {y + side * height / 2}V{v - side * (height / 2 + 4)}"
        else:  # from the right of the board back to the left, through the free row
            side = 1 if v > y else -1
            middle, end = y + side * down / 2, u + 45 - 15 * side
            path = f"M{x - 45} {y + side * height / 2}V{middle}H{end}V{v - height / 2 - 4}"
        shapes.append(f'<path d="{path}" marker-end="url(#tip)"/>')
    for name, (x, y) in centre.items():
        left, top = x - width / 2, y - height / 2
        shapes.append(f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="6"/>')
        shapes.append(f'<text x="{x}" y="{y + 4}">{html.escape(name)}</text>')
    tip = '<marker id="tip" viewBox="0 0 8 8" refX="4" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    tip += f'<path d="M0 0L8 4L0 8z" fill="{LINE}" stroke="none"/></marker>'
    style = f'fill="none" stroke="{LINE}" stroke-width="1.2" font-size="12" text-anchor="middle"'
    css = f"<style>text{{fill:#9a9a9a;stroke:none}} rect{{fill:#fff;stroke:{LINE};stroke-dasharray:4 3}}</style>"
    return f'<svg viewBox="0 0 950 330" {style}>{css}<defs>{tip}</defs>{"".join(shapes)}</svg>'


def _text(text: str) -> str:
    return MARKED.sub(r"<b>\1</b>", html.escape(text))


def _document(title: str, css: str, body: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{BASE}{css}</style></head><body>\n{body}\n</body></html>\n"
    )
