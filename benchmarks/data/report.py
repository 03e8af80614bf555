"""Tables and figure of `run.py`."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from matplotlib.figure import Figure
from plan import Case, Table

from mlsys.analysis import style

Found = dict[tuple[str, int], list[dict[str, float]]]


def write(path: Path, facts: str, tables: list[Table], found: dict[str, Found]) -> None:
    """results.md."""
    parts = [
        "# The data path, measured",
        "Written by `run.py`; how to read and repeat it is in [README.md](../README.md).",
        facts,
        "× is how many times as long as this row the first row of its table takes, in the same round: below 1, the"
        " first is faster. In brackets p99 of reads, and MB that a run added to the process. ≠: found something else.",
    ]
    for table in tables:
        sizes = sorted({size for _, size in found[table.name]})
        rows = [[case.label, *(cell(table, found[table.name], case, size) for size in sizes)] for case in table.cases]
        head = ["", *(power(size) if table.grows else f"{size:,}" for size in sizes)]
        parts += [f"## {table.title}", table.text, markdown(head, rows)]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"wrote {path.name}")


def cell(table: Table, found: Found, case: Case, size: int) -> str:
    """Median, ratio to ours, memory or p99, and whether the answer is the same."""
    runs, ours = found.get((case.name, size)), found.get((table.cases[0].name, size))
    if not runs:
        return "–"
    took = median(run["seconds"] for run in runs)
    text = f"{took * 1e6:,.1f}" if not table.grows else f"{took:.3g}"
    also = median(run["p99"] for run in runs) * 1e6 if not table.grows else median(run["mb"] for run in runs)
    text += f" ({also:,.0f})"
    if ours and case != table.cases[0]:
        ratio = median(a["seconds"] / b["seconds"] for a, b in zip(ours, runs, strict=False))
        same = abs(runs[0]["check"] - ours[0]["check"]) <= 1e-5 * max(abs(ours[0]["check"]), 1)
        text += f" ×{ratio:.2g}" + ("" if same else " ≠")
    return text


def draw(path: Path, tables: list[Table], found: dict[str, Found]) -> None:
    """One panel per table: time against size."""
    figure = Figure(figsize=(15, 3.6 * ((len(tables) + 1) // 2)), layout="constrained")
    for i, table in enumerate(tables, 1):
        axes = figure.add_subplot((len(tables) + 1) // 2, 2, i)
        for case in table.cases:
            sizes = sorted(size for name, size in found[table.name] if name == case.name)
            if not sizes:
                continue
            times = [median(run["seconds"] for run in found[table.name][case.name, size]) for size in sizes]
            own = case.label.startswith("mlsys")
            axes.plot(sizes, times, marker="o", label=case.label, lw=2.5 if own else 1.2, ls="-" if own else "--")
        axes.set(xscale="log", yscale="log", title=table.title, ylabel="seconds")
        axes.set_xlabel("events" if table.grows else "entities per request")
        axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    path.write_bytes(style.png(figure))
    print(f"wrote {path.name}")


def power(size: int) -> str:
    """100000 as 10⁵."""
    return "10" + str(len(str(size)) - 1).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
