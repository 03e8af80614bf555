"""What proves the checks: a reference that reads the tables, and the shortcuts that people take."""

from __future__ import annotations

from typing import Any

from mlsys.drills import Typed, Variant

DESIGNS = {
    "horizon": ("by_likes", "by_value"),
    "latency": ("all_candidates", "half_of_them"),
    "stack": ("trees", "dot_product"),
    "device": ("with_device", "without_device"),
    "ids": ("with_ids", "without_ids"),
    "history": ("trees", "dot_product"),
}


def losses(variant: Variant) -> dict[str, list[list[float]]]:
    """From tables and prompt: by question, answer and design, points lost against the better design."""
    v = variant.shown
    found: dict[str, list[list[float]]] = {}
    listed: list[dict[Any, Any]] = variant.tables["measured"].to_dict("records")
    rows = {(row["question"], row["answer"], row["design"]): row for row in listed}
    for name, pair in DESIGNS.items():
        found[name] = []
        for answer, limit in ((1, 1000), (2, 100)):
            values = []
            for design in pair:
                row = rows[name, answer, design]
                late = name == "latency" and row["p99_ms"] > limit
                values.append((v["popular"] if late else row["likes"]) - row["cores"] / v["exchange"])
            found[name].append([max(values) - one for one in values])
    return found


def reference(variant: Variant) -> Typed:
    """Two expected losses per question; the rest follows."""
    v, found, month = variant.shown, losses(variant), variant.tables["month"]
    saves, unasked, flips = {}, {}, {}
    for name, ((a1, b1), (a2, b2)) in found.items():
        p = v[f"odds_{name}"] / 100
        first, second = p * a1 + (1 - p) * a2, p * b1 + (1 - p) * b2
        saves[name], unasked[name] = min(first, second), DESIGNS[name][int(second < first)]
        flips[name] = 100 * a2 / (b1 + a2) if a2 > 0 and b1 > 0 else -1
    (_, b1), (a2, _) = found[v["which"]]
    cores = variant.tables["measured"].set_index("design")["cores"]
    heads = (cores["by_value"].iloc[0] - cores["by_likes"].iloc[0]) / v["exchange"]
    behind = month.loc[month["by_value"] - month["by_likes"] <= heads, "day"]
    return Typed(
        {
            "ask": [name for name, points in saves.items() if points > v["minute"]],
            "saves": [{"question": name, "points": round(points, 2)} for name, points in saves.items()],
            "unasked": [{"question": name, "design": design} for name, design in unasked.items()],
            "flips": [{"question": name, "percent": round(percent, 1)} for name, percent in flips.items()],
            "from": round(100 * v["minute"] / b1, 1),
            "to": round(100 - 100 * v["minute"] / a2, 1),
            "turns": int(behind.max()) + 1,
            "told": "I ask what saves more than a minute, the largest first, and say what I build for either answer. "
            "The rest I assume aloud, with the odds at which I would build the other design.",
        }
    )


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    right, v, found = dict(reference(variant).values), variant.shown, losses(variant)
    saves = {row["question"]: row["points"] for row in right["saves"]}
    rest = sorted((name for name in saves if name not in right["ask"]), key=lambda name: saves[name])

    def changed(row: str, says: str, **values: Any) -> Typed:
        return Typed(right | values, row=row, says=says)

    def rows(column: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"question": name, column: value} for name, value in values.items()]

    likelier = {name: pair[int(v[f"odds_{name}"] < 50)] for name, pair in DESIGNS.items()}
    other = {name: pair[int(row["design"] == pair[0])]
             for (name, pair), row in zip(DESIGNS.items(), right["unasked"], strict=True)}  # fmt: skip
    mistaken = sum(likelier[row["question"]] != row["design"] for row in right["unasked"]) > 1
    hasty = rows("design", likelier if mistaken else other)
    worst = {name: max(max(pair) for pair in pairs) for name, pairs in found.items()}
    return {
        "asks_what_changes_nothing": changed("ask", "and costs", ask=[*right["ask"], *rest[:2]]),
        "asks_one_and_draws": changed("ask", "you leave out", ask=["none"]),
        "the_worst_case": changed("saves", "you said", saves=rows("points", worst)),
        "no_odds": changed("saves", "you said", saves=rows("points", {name: 50 for name in saves})),
        "the_likelier_answer": changed("unasked", "more on average than", unasked=hasty),
        "fifty_fifty": changed("flips", "of 6", flips=rows("percent", dict.fromkeys(saves, 50))),
        "only_near_the_threshold": changed("band", "neither end", **{"from": right["from"] + 9, "to": right["to"] - 9}),
        "cores_forgotten": changed("turns", "heads have to be paid", turns=naive(variant)),
    }  # fmt: skip


def naive(variant: Variant) -> int:
    """The day on which by_value leads in likes."""
    month = variant.tables["month"]
    return int(month.loc[month["by_value"] <= month["by_likes"], "day"].max()) + 1


def samples(variant: Variant) -> dict[str, Typed]:
    """E4 asks what everybody asks; E5 gets five of six; E6 reads all of the table."""
    right = dict(reference(variant).values)
    off = {**right["saves"][0], "points": 20 + right["saves"][0]["points"]}
    junior = {"ask": ["latency", "history", "ids"], "turns": naive(variant), "from": 45, "to": 55}
    senior = {
        "saves": [off, *right["saves"][1:]],
        "flips": right["flips"][1:],
        "unasked": right["unasked"][:5],
        "from": max(0, right["from"] - 3),
    }
    return {
        "E4": Typed(right | junior, human={"told": 1}),
        "E5": Typed(right | senior, human={"told": 2}),
        "E6": Typed(right, human={"told": 3}),
    }
