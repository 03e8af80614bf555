"""The nine systems: their shares, run once; what an experiment shows of them; and what follows from prices.

`shares` runs the models. `nets`, `choice`, `flips`, `dominated` and `gained` are the arithmetic of the key. T, the best
of a search, enters them with an estimate in the place of its measured points.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from mlsys.capacity import unit_costs
from mlsys.core import generator
from mlsys.orchestration import development as dev
from mlsys.orchestration.bench import Bench
from mlsys.orchestration.framing import one_thread
from mlsys.training import LinearModel, TreeModel
from mlsys.world import Oracle

CANDIDATES, KEEP, TRIALS, TUNED_TREES = 250, 25, 10, 40
SYSTEMS = {  # trees (0: linear), candidates that they score, second vote
    "A": (0, CANDIDATES, 0), "B": (10, CANDIDATES, 0), "C": (30, CANDIDATES, 1), "D": (0, KEEP, 0),
    "E": (10, KEEP, 0), "F": (30, KEEP, 0), "G": (30, 4 * KEEP, 1), "H": (90, KEEP, 0), "T": (TUNED_TREES, KEEP, 0),
}  # fmt: skip
WAYS = ("price up", "price down", "users up", "users down")
EXPERIMENTS = ("again", "load", "contract", "census")
LONG = 0.2
"""Standard error, in points, of a long experiment."""
NONE = (-1.0, "none")

Facts = Mapping[str, Any]
Columns = dict[str, np.ndarray]


@one_thread
def shares(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact shares of the oracle's likes tomorrow, in percent: of all systems but T, of the trials of its search."""
    bench, rng = Bench(seed, users=45, days=10), generator(seed, 1)
    broad, first, X, y = dev.wide(bench, CANDIDATES), dev.embed(bench), bench.X, bench.y
    models: dict[int, LinearModel | TreeModel] = {0: LinearModel.fit(X, y)}
    models |= {n: TreeModel.fit(X, y, max_iter=n, learning_rate=min(0.15, 4.5 / n)) for n in (10, 30, 90)}
    ways = [dev.Cascade(broad, first, keep, models[trees].predict, vote=vote, name=name)
            for name, (trees, keep, vote) in SYSTEMS.items() if name != "T"]  # fmt: skip
    for trial in range(TRIALS):
        settings = {"max_leaf_nodes": int(rng.integers(3, 20)), "min_samples_leaf": int(rng.integers(10, 300))}
        rate = float(np.exp(rng.uniform(np.log(0.02), np.log(0.3))))
        model = TreeModel.fit(X, y, max_iter=TUNED_TREES, learning_rate=rate, **settings)
        ways.append(dev.Cascade(broad, first, KEEP, model.predict, name=f"trial {trial}"))
    likes = broad.world.value([*ways, Oracle()])["like"].to_numpy()
    found = 100 * likes[:-1] / likes[-1]
    return found[: len(SYSTEMS) - 1], found[len(SYSTEMS) - 1 :]


def tail(rng: np.random.Generator, requests: int = 40_000) -> float:
    """99th percentile of the time in a core that is half busy, first come first served, over the mean work."""
    work = rng.lognormal(-0.125, 0.5, requests)
    steps = np.append(0.0, np.cumsum(work[:-1] - rng.exponential(2.0, requests)[1:]))
    return float(np.quantile(steps - np.minimum.accumulate(steps) + work, 0.99))


def searched(rng: np.random.Generator, tried: np.ndarray) -> dict[str, Any]:
    """Short experiments, and the second one of the best; nothing if that is far from what one should expect."""
    se = round(float(tried.std() * rng.uniform(0.6, 1.8)), 1)
    measured = np.round(tried + se * rng.standard_normal(TRIALS), 1)
    best, mean = float(measured.max()), float(measured.mean())
    kept = 1 - se**2 / float(measured.var(ddof=1))
    estimate, second = mean + kept * (best - mean), float(tried[measured.argmax()] + LONG * rng.standard_normal())
    usual = 0.15 < kept < 0.7 and best - estimate > 0.5 and abs(second - estimate) < 0.6 * math.sqrt(kept) * se
    return {"se": se, "measured": measured, "best": best, "mean": mean, "kept": kept, "estimate": estimate,
            "second": round(second, 1)} if usual else {}  # fmt: skip


def facts(rng: np.random.Generator, search: dict[str, Any]) -> dict[str, Any]:
    f: dict[str, Any] = {"se": search["se"], "trials": TRIALS, "candidates": CANDIDATES}
    f |= {"users": int(rng.integers(2, 21)) * 10, "price": int(rng.integers(20, 61))}
    f |= {"worth": int(np.exp(rng.uniform(np.log(3), np.log(30)))) * 10, "stage": int(rng.integers(2, 13)) * 5}
    return f | {"search": int(rng.integers(2, 21)), "heads": int(rng.integers(15, 31))}


def bets(rng: np.random.Generator, f: dict[str, Any]) -> None:
    """Draws into the facts what the experiments may say, and what they cost."""
    price, users = rng.choice([1.5, 2, 3, 4], 2)
    f |= {"cheap": round(f["price"] / price), "dear": round(f["price"] * price)}
    f |= {"fewer": round(f["users"] / users), "more": round(f["users"] * users)}
    f |= {f"{name}_costs": int(rng.choice([2, 5, 10, 20, 50, 100])) for name in EXPERIMENTS}
    f["chance"] = int(rng.integers(2, 9)) * 10


def table(measured: np.ndarray, best: float, facts: Facts, over_mean: float, per_ms: float) -> pd.DataFrame:
    """What the candidate gets: a row per system. `over_mean`: p99 over ms; `per_ms`: cores per million users."""
    found = pd.DataFrame(SYSTEMS, ["trees", "scored", "vote"]).T
    last, staged = found.index == "T", ~found.index.isin(["A", "B"])
    found["best_of"] = np.where(last, facts["trials"], 1)
    found["points"] = [*measured, best]
    found["se"] = np.where(last, facts["se"], LONG)
    costs = unit_costs()
    us = costs["retrieve_1000_us"] * CANDIDATES / 1_000 * staged
    us = us + facts["heads"] * np.array([dev.scoring_us(trees, scored, costs) for trees, scored, _ in SYSTEMS.values()])
    found["ms"], found["p99"] = (us / 1e3).round(2), (over_mean * us / 1e3).round(1)
    found["cores"], found["fixed"] = (per_ms * us / 1e3).round(2), facts["stage"] * staged + facts["search"] * last
    return found.reset_index(names="system")


def counted(systems: pd.DataFrame, estimates: Iterable[float]) -> list[Columns]:
    """Arrays by column name, for each estimate that stands in T's place."""
    found = {str(name): systems[name].to_numpy() for name in systems}
    return [found | {"points": np.where(found["system"] == "T", one, found["points"])} for one in estimates]


def nets(c: Columns, f: Facts) -> np.ndarray:
    """Thousand dollars a month per system: worth of its points, less cores and what it costs whatever the users."""
    return np.asarray(f["users"] * (f["worth"] * c["points"] - f["price"] * c["cores"]) / 1e3 - c["fixed"])


def choice(c: Columns, f: Facts) -> tuple[int, float, float]:
    """The best that the guardrail allows; what it earns over A; and its lead over the next, in points."""
    net = np.where(c["p99"] <= f["limit"], nets(c, f), -np.inf)
    second, best = np.argsort(net)[-2:]
    return int(best), float(net[best] - net[0]), float((net[best] - net[second]) * 1e3 / f["users"] / f["worth"])


def flips(c: Columns, f: Facts) -> dict[str, tuple[float, str]]:
    """Where price or users make another allowed system best: (value, system) per way; `NONE` if nowhere."""
    s, p, u, allowed = choice(c, f)[0], f["price"], f["users"], c["p99"] <= f["limit"]
    points, cores, fixed = (np.where(allowed, c[name] - c[name][s], 0.0) for name in ("points", "cores", "fixed"))
    with np.errstate(divide="ignore", invalid="ignore"):
        price = (f["worth"] * points - 1e3 * fixed / u) / cores
        users = 1e3 * fixed / (f["worth"] * points - p * cores)
    found = {}
    for way, at, now in (("price", price, p), ("users", users, u)):
        for side, there in (("up", at > now), ("down", (at > 0) & (at < now))):
            near = [i for i in np.argsort(at if side == "up" else -at) if there[i] and np.isfinite(at[i])]
            found[f"{way} {side}"] = (float(at[near[0]]), str(c["system"][near[0]])) if near else NONE
    return found


def dominated(c: Columns) -> frozenset[str]:
    """Systems that another one beats at no more cores and no more fixed cost."""

    def no_worse(name: str, sign: int) -> np.ndarray:
        return np.asarray(sign * c[name][None, :] >= sign * c[name][:, None])

    better = no_worse("points", 1) & no_worse("cores", -1) & no_worse("fixed", -1)
    return frozenset(c["system"][(better & ~(better.T)).any(axis=1)].tolist())


def gained(name: str, c: Columns, f: Facts) -> float:
    """Thousand dollars in a year by deciding after an experiment, less its cost; its two ends by their chances."""
    ship, last, blocked = choice(c, f)[0], c["system"] == "T", c["system"] == f["blocked"]
    ends: dict[str, list[tuple[float, Columns, Facts]]] = {
        "again": [(0.5, c | {"points": c["points"] + sign * f["better"] * last}, f) for sign in (1, -1)],
        "load": [(f["chance"] / 100, c | {"p99": np.where(blocked, 0.0, c["p99"])}, f)],
        "contract": [(0.5, c, {**f, "price": f[price]}) for price in ("cheap", "dear")],
        "census": [(0.5, c, {**f, "users": f[users]}) for users in ("fewer", "more")],
    }
    after = 0.0
    for chance, columns_, facts in ends[name]:
        net = nets(columns_, facts)
        after += chance * float(net[choice(columns_, facts)[0]] - net[ship])
    return 12 * after - float(f[f"{name}_costs"])


def worths(c: Columns, f: Facts) -> dict[str, float]:
    """Of every experiment, and of none."""
    return {name: gained(name, c, f) for name in EXPERIMENTS} | {"none": 0.0}
