"""What proves the checks: a reference that reads the tables, and what people answer in a hurry."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mlsys.drills import Typed, Variant

SPOKEN = (
    "We ship what earns most within the guardrail. T's number is the best of ten short experiments: part of its lead "
    "is luck. Another price of a core changes the choice only beyond these thresholds."
)


def earned(table: pd.DataFrame, v: dict[str, Any]) -> pd.Series:
    """Thousand dollars a month by system, of those within the guardrail."""
    open_ = table[table["p99"] <= v["limit"]]
    return v["users"] * (v["worth"] * open_["points"] - v["price"] * open_["cores"]) / 1e3 - open_["fixed"]


def reference(variant: Variant) -> Typed:
    """Shrink T, strike, sum, solve for each pair, and go through both ends of each experiment."""
    v, trials = dict(variant.shown), variant.tables["trials"]["points"]
    table = variant.tables["systems"].set_index("system")
    kept = 1 - v["se"] ** 2 / trials.var()
    estimate = round(float(trials.mean() + kept * (trials.max() - trials.mean())), 2)
    reach = 1.28 * (kept * v["se"] ** 2 + 0.04) ** 0.5
    table["points"] = table["points"].mask(table.index == "T", estimate)
    signed = table.assign(points=-table["points"])[["points", "cores", "fixed"]]
    struck = [name for name, row in signed.iterrows() if (signed <= row).all(axis=1).sum() > 1]  # Each beats itself.
    net = earned(table, v)
    ship = str(net.idxmax())
    worths = {name: _worth(name, table, v, ship) for name in ("again", "load", "contract", "census")}
    first = max(worths, key=worths.__getitem__)
    return Typed(
        {
            "estimate": estimate,
            "second": [round(estimate - reach, 2), round(estimate + reach, 2)],
            "struck": struck or ["none"],
            "ship": ship,
            "gain": round(float(net[ship] - net["A"]), 1),
            "flips": _flips(table[table["p99"] <= v["limit"]], v, ship),
            "next": first if worths[first] > 0 else "none",
            "value": round(worths[first], 1),
            "told": SPOKEN,
        }
    )


def _flips(table: pd.DataFrame, v: dict[str, Any], ship: str) -> list[dict[str, Any]]:
    less = table.drop(index=ship) - table.loc[ship]
    even = {"price": (v["worth"] * less["points"] - 1e3 * less["fixed"] / v["users"]) / less["cores"],
            "users": 1e3 * less["fixed"] / (v["worth"] * less["points"] - v["price"] * less["cores"])}  # fmt: skip
    rows = []
    for what, found in even.items():
        for way, there in (("up", found[found > v[what]]), ("down", -found[(found > 0) & (found < v[what])])):
            near = (round(abs(float(there.min())), 2), there.idxmin()) if len(there) else (-1.0, "none")
            rows.append(dict(zip(("way", "at", "to"), (f"{what} {way}", *near), strict=True)))
    return rows


def _worth(name: str, table: pd.DataFrame, v: dict[str, Any], ship: str) -> float:
    def better(change: float = 0.0, system: str = "T", column: str = "points", **facts: Any) -> float:
        then = table.copy()
        then.loc[system, column] += change
        net = earned(then, v | facts)
        return float(net.max() - net[ship])

    ends = {
        "again": lambda: (better(v["better"]) + better(-v["better"])) / 2,
        "load": lambda: v["chance"] / 100 * better(-1e6, v["blocked"], "p99"),
        "contract": lambda: (better(price=v["cheap"]) + better(price=v["dear"])) / 2,
        "census": lambda: (better(users=v["fewer"]) + better(users=v["more"])) / 2,
    }
    return 12 * ends[name]() - float(v[f"{name}_costs"])


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    right, v, trials = dict(reference(variant).values), variant.shown, variant.tables["trials"]["points"]
    table = variant.tables["systems"].set_index("system")

    def changed(row: str, says: str, **values: Any) -> Typed:
        return Typed(right | values, row=row, says=says)

    number, wide = float(trials.max()), min(9 * v["se"], 99 - right["estimate"])
    net = earned(table, dict(v)).drop(index=right["ship"])
    forbidden = table.index[table["p99"] > v["limit"]]
    vague = [right["estimate"] - wide, right["estimate"] + wide]
    flipped = [{**row, "at": 3 * row["at"] if row["at"] > 0 else 7.0} for row in right["flips"]]
    swing = next(name for name in ("contract", "census", "load") if name != right["next"])
    lucky = {"estimate": number, "second": [number - 1, number + 1]}
    return {
        "its_number_is_its_worth": changed("curse", "hold the noise", **lucky),
        "no_interval": changed("curse", "so wide that no decision", second=vague),
        "strikes_the_dear": changed("frontier", "is on the frontier", struck=["A", right["ship"]]),
        "the_most_points": changed("ship", "less than the best allowed", ship=str(net.idxmax())),
        "no_guardrail": changed("ship", "rolls it back", ship=str(forbidden[0])),
        "prices_never_matter": changed("flips", "of 4 hold", flips=flipped),
        "the_largest_swing": changed("next", "thousand a year", next=swing),
        "a_number_for_the_swing": changed("next", "only an end at which", value=2 * abs(right["value"]) + 100),
    }


def samples(variant: Variant) -> dict[str, Typed]:
    """E4 ships T's number; E5 is rough; E6 has all of it."""
    right, trials = dict(reference(variant).values), variant.tables["trials"]["points"]
    lead = float(trials.max() - trials.mean())
    junior = {"estimate": float(trials.max()), "flips": right["flips"][:1], "value": 999.0}
    senior = {
        "estimate": round(right["estimate"] - 0.15 * lead, 2),
        "struck": right["struck"][1:] if len(right["struck"]) > 2 else right["struck"],
        "gain": 0.78 * right["gain"],
        "flips": [{**row, "at": row["at"] * (1.08 if row["at"] > 0 else 1)} for row in right["flips"]],
        "value": round(right["value"] - 0.25 * abs(right["value"]), 1),
    }
    return {
        "E4": Typed(right | junior, human={"told": 1}),
        "E5": Typed(right | senior, human={"told": 2}),
        "E6": Typed(right, human={"told": 3}),
    }
