"""Tables and figure of `run.py`."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from matplotlib.axes import Axes
from plan import NAIVE, WORKERS, WORKERS_AT, Case, Runs

from mlsys.analysis import style

COLOURS = {"naive": style.NAIVE, "obp": style.EXTRA, "world": style.FIXED}


def middle(runs: Runs, case: Case, size: int, what: str) -> float | None:
    """Median over rounds, None when it was left out."""
    values = [one[what] for one in runs.get((case, size), {}).values()]
    return median(values) if values else None


def ratio(runs: Runs, case: Case, base: Case, size: int) -> float:
    """Median over rounds of how many times as fast as `base` in the same round."""
    ours, theirs = runs[case, size], runs[base, size]
    return median(ours[i]["rate"] / theirs[i]["rate"] for i in ours if i in theirs)


def write(path: Path, facts: str, sizes: list[int], cases: list[Case], runs: Runs, places: dict[str, float]) -> None:
    """results.md."""
    head = ["", *map(power, sizes)]
    parts = [
        "# The world, measured",
        "Written by `run.py`; how to read and repeat it is in [README.md](../README.md).",
        facts,
        "## Logged impressions per second",
        "Millions, median (lowest–highest), and × naive in the same round. 10,000 users, one worker. A dash: would"
        " have taken too long.",
        table(head, [[case.label, *(speed(runs, case, size) for size in sizes)] for case in cases]),
        "## Peak memory",
        "MB of the whole process, in brackets above what its imports take. Logs are dropped day by day, in obp every"
        " 100,000 rounds, unless the row says kept.",
        table(
            ["", *map(power, sizes)], [[case.label, *(memory(runs, case, size) for size in sizes)] for case in cases]
        ),
        "## Two workers",
        f"{power(WORKERS_AT)} impressions in whole days; 10,000 users unless the row says otherwise.",
        table(
            ["", "millions per second", "× one worker", "peak MB, all processes"],
            [workers_row(runs, case, one) for one, two in WORKERS.items() for case in (one, *two)],
        ),
        "## Where the time goes",
        "Table ranker, 10,000 users, one worker; own time of the functions listed in `cases.py`.",
        table(
            ["", "ns per impression", "share"],
            [[name, f"{ns:.0f}", f"{ns / sum(places.values()):.0%}"] for name, ns in places.items()],
        ),
    ]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"wrote {path.name}")


def workers_row(runs: Runs, case: Case, one: Case) -> list[str]:
    """Rate, ratio to one worker, memory."""
    rate, mb = (middle(runs, case, WORKERS_AT, what) for what in ("rate", "mb"))
    return [case.label, f"{rate:.2f}", f"{ratio(runs, case, one, WORKERS_AT):.2f}", f"{mb:,.0f}"]


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, numbers to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def power(size: int) -> str:
    """100000 as 10⁵, and as it is when it is no power of ten."""
    digits = str(size)
    is_power = digits.strip("0") == "1"
    return "10" + str(len(digits) - 1).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")) if is_power else f"{size:,}"


def speed(runs: Runs, case: Case, size: int) -> str:
    """A cell: median, range, ratio."""
    rates = [one["rate"] for one in runs.get((case, size), {}).values()]
    if not rates:
        return "–"
    cell = f"{median(rates):.3g} ({min(rates):.2g}–{max(rates):.2g})"
    return cell if case == NAIVE or not runs.get((NAIVE, size)) else f"{cell} ×{ratio(runs, case, NAIVE, size):.2g}"


def memory(runs: Runs, case: Case, size: int) -> str:
    """A cell: peak, and how much of it is not imports."""
    peak, above = (middle(runs, case, size, what) for what in ("mb", "above_imports"))
    return "–" if peak is None else f"{peak:,.0f} ({above:,.0f})"


@style.house()
def draw(path: Path, sizes: list[int], cases: list[Case], runs: Runs, places: dict[str, float]) -> None:
    """world.png: speed and memory against size, and where the time goes."""
    figure = style.figure(width=9.6, height=6.6)
    grid = figure.add_gridspec(2, 2, height_ratios=[3.2, 1])
    panels = [
        (figure.add_subplot(grid[0, 0]), "rate", "million logged impressions per second"),
        (figure.add_subplot(grid[0, 1]), "mb", "peak memory, MB"),
    ]
    for axes, what, title in panels:
        ends = []
        for case in cases:
            known = [(size, y) for size in sizes if (y := middle(runs, case, size, what)) is not None]
            if len(known) == 1 < len(sizes) and what == "mb":
                continue  # one point says nothing of growth
            colour = COLOURS[case.label.split(",")[0].split(":")[0]]
            dashed = "--" if case.label.endswith("kept") and case != NAIVE else "-"
            axes.plot(*zip(*known, strict=True), color=colour, ls=dashed, marker="o", ms=4)
            ends.append((known[-1], colour, case))
        axes.set(xscale="log", yscale="log", xlabel="impressions logged", xlim=(sizes[0] / 1.5, sizes[-1] * 40))
        axes.set_xticks(sizes)
        axes.minorticks_off()
        ticks = [tick for tick in (0.01, 0.1, 1, 10, 100, 200, 500, 1_000, 2_000) if fits(tick, axes.get_ylim())]
        axes.set_yticks(ticks, [f"{tick:,g}" for tick in ticks])
        axes.set_title(title)
        name_lines(axes, ends)
    bar, left = figure.add_subplot(grid[1, :]), 0.0
    for i, (name, ns) in enumerate(places.items()):
        bar.barh(0, ns, left=left, color=style.FIXED, alpha=0.95 - 0.11 * i, edgecolor=style.PAPER)
        bar.text(
            left + ns / 2, -0.56, f"{name.replace(' ', chr(10), 1)}\n{ns:.0f}", ha="center", va="top", fontsize=7.5
        )
        left += ns
    bar.set(ylim=(-1.7, 0.5), xlim=(0, left), xticks=[], yticks=[])
    bar.grid(False)
    bar.spines[:].set_visible(False)
    bar.set_title("where a table-scored impression's nanoseconds go, one worker")
    style.headline(figure, *finding(cases, sizes, runs))
    path.write_bytes(style.png(figure))
    print(f"wrote {path.name}")


def fits(tick: float, limits: tuple[float, float]) -> bool:
    """Whether a tick lies in sight."""
    return limits[0] <= tick <= limits[1]


def name_lines(axes: Axes, ends: list[tuple[tuple[int, float], str, Case]]) -> None:
    """Every line's name right of its last point, pushed up where two would overlap."""
    low, high = axes.get_ylim()
    step, lowest = (high / low) ** 0.06, 0.0
    for (x, y), colour, case in sorted(ends, key=lambda end: end[0][1]):
        lowest = max(y, lowest * step)
        name = case.label.split(": ")[0].replace("whole log ", "")
        offset = {"xytext": (7, 0), "textcoords": "offset points", "va": "center", "annotation_clip": False}
        axes.annotate(name, (x, lowest), color=colour, fontsize=8, **offset)
    axes.set_ylim(low, max(high, lowest * step))


def finding(cases: list[Case], sizes: list[int], runs: Runs) -> tuple[str, str]:
    """Headline and how to read it, in the numbers of this run."""
    size = sizes[-1]
    worlds = [case for case in cases if case.label.startswith("world") and "kept" not in case.label]
    rates = [middle(runs, case, size, "rate") or 0.0 for case in worlds]
    times = [ratio(runs, case, NAIVE, size) for case in worlds]
    return (
        f"A log with a truth behind it, {min(times):.0f} to {max(times):.0f} times as fast as a naive generator's",
        f"{min(rates):.1f} to {max(rates):.1f} million impressions a second at {power(size)}, on one worker, where"
        " independent columns from np.random.choice make"
        f" {middle(runs, NAIVE, size, 'rate'):.2f}.\n10,000 users; logs are dropped day by day, except where kept.",
    )
