"""Table and figure of `run.py`."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from matplotlib.figure import Figure

from mlsys.analysis import style

Found = dict[tuple[str, int], list[dict[str, dict[str, float]]]]
ROUGH = {"mean": 0.4, "ratio": 0.4}
"""How far apart, relatively, answers may be: widths of intervals from 100 resamples. Elsewhere 1e-6."""


def write(path: Path, facts: str, questions: dict[str, str], found: Found) -> None:
    """results.md."""
    sizes = sorted({size for _, size in found})
    power = {
        size: "10" + str(len(str(size)) - 1).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")) for size in sizes
    }
    head = ["", "", *(f"{power[size]} rows" for size in sizes)]
    rows = [head, ["---", "---", *["---:"] * len(sizes)]]
    for question in dict.fromkeys(question for question, _ in found):
        names = dict.fromkeys(name for size in sizes for run in found[question, size] for name in run)
        for i, name in enumerate(names):
            cells = [cell(question, name, found[question, size]) for size in sizes]
            rows.append([questions[question] if i == 0 else "", name, *cells])
    parts = [
        "# Evaluation and training, measured",
        "Written by `run.py`; how to read and repeat it is in [README.md](../README.md).",
        facts,
        "Milliseconds. × is how many times as long this row took as the first row of its question, in the same round:"
        " above 1, the first is faster. ≠: found something else.",
        "\n".join(f"| {' | '.join(row)} |" for row in rows),
    ]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"wrote {path.name}")


def cell(question: str, name: str, rounds: list[dict[str, dict[str, float]]]) -> str:
    """Median, ratio to the first case, and whether the answer is the same."""
    both = [(run[name], next(iter(run.values()))) for run in rounds if name in run]
    if not both:
        return "–"
    text = f"{median(one['seconds'] for one, _ in both) * 1e3:,.3g}"
    if both[0][0] is both[0][1]:
        return text
    ratio = median(one["seconds"] / first["seconds"] for one, first in both)
    one, first = (answer["answer"] for answer in both[0])
    rough = 0.02 if "resamples" in name else ROUGH.get(question, 1e-6)  # obp's interval comes with a mean of its own
    same = abs(one - first) <= rough * abs(first)
    return f"{text} ×{ratio:.{3 if 0.5 < ratio < 2 else 2}g}" + ("" if same else " ≠")


def draw(path: Path, questions: dict[str, str], found: Found) -> None:
    """How many times as long as ours the others take, at the largest size that they were run at."""
    bars = []
    for question in dict.fromkeys(question for question, _ in found):
        last = {name: runs for (asked, _), runs in sorted(found.items()) if asked == question for name in runs[0]}
        for name, runs in last.items():
            ratios = [run[name]["seconds"] / next(iter(run.values()))["seconds"] for run in runs]
            if name != next(iter(runs[0])):
                bars.append((f"{questions[question]}: {name}", median(ratios)))
    figure = Figure(figsize=(9, 0.28 * len(bars) + 1), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter([ratio for _, ratio in bars], range(len(bars)))
    axes.set_yticks(range(len(bars)), [label for label, _ in bars], fontsize=8)
    axes.axvline(1, color="0.5", lw=1)
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="time / time of mlsys (right of the line: mlsys is faster)")
    path.write_bytes(style.png(figure))
    print(f"wrote {path.name}")
