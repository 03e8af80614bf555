"""A hidden incident: two systems with other dice, one of them sick. The key is what ran, with and without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mlsys.config import SystemConfig
from mlsys.core import generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.features.catalogue import Catalogue
from mlsys.monitoring import ModelMonitor
from mlsys.monitoring.daily import Told
from mlsys.orchestration.loop import WARM_UP, DailyLoop, Training
from mlsys.orchestration.served import ServedRanker
from mlsys.training.registry import RegisteredModel
from mlsys.world import Incident
from mlsys.world.incidents import Incidents

DAYS, USERS, MEMORY = 10, 700, 4
INCIDENTS = {  # Cause: the incident it is to the loop, its smallest and largest size, and its size as a rival.
    "lost_actions": ("null_spike", 0.4, 0.7, 0.7),
    "unit_change": ("unit_change", 0.4, 1.0, 1.0),
    "interests_moved": ("interest_shift", 0.85, 1.0, 1.0),
    "features_not_refreshed": ("stale_features", 0.6, 1.0, 1.0),
    "wrong_model_served": ("bad_model_push", 0.3, 0.8, 1.0),
    "store_down": ("store_outage", 0.4, 0.8, 0.95),
}
WORLDS = {"late_events": ("late_share", 0.6), "new_users": ("new_users_per_day", 300.0)}
BY_NIGHT = ("interests_moved", "features_not_refreshed", "new_users", "bad_training")
BY_DAY = ("lost_actions", "unit_change", "wrong_model_served", "store_down", "late_events")
"""When a cause strikes: during the night before its first day, or on the day."""

SLOW = ("features_not_refreshed", "lost_actions", "new_users")
"""As rivals they run for two days, the others for one."""

PSI = {"psi_user": "user:", "psi_post": "post:", "psi_creator": "creator:", "psi_user_topic": "user_topic:"}
PSI |= {"psi_age": "request:age", "psi_length": "request:length", "psi_web": "request:web", "psi_score": "score"}
COLUMNS = {"sessions": 0, "likes": 2, "like_share": 3, "null": 3, "null_ios": 3, "null_android": 3, "null_web": 3}
COLUMNS |= {"late": 3, "held": 0, "age_h": 0, "defaults": 3, "popularity": 3, "auc": 3} | dict.fromkeys(PSI, 2)
NUMBERS = list(COLUMNS)
"""Columns of the dashboard that are numbers; in `COLUMNS` with their decimals."""

NOISE = {"sessions": 50.0, "likes": 0.1, "held": 20.0, "age_h": 1.0} | dict.fromkeys(PSI, 0.1)
"""Healthy days differ by this at least; 0.01 where nothing is said."""

MOVED, QUIET = 0.5, 0.25
"""A column moved that left its healthy range by half of it or more; one that left it by up to a quarter is quiet."""

ACTIONS = {
    "lost_actions": {
        "quarantine_platform": (3, "the other platforms' rows make features fresh again"),
        "hold_everything": (
            2,
            "safe for training; but features age while whole batches are held, and that costs likes",
        ),
        "raise_limits": (2, "features get fresh again; but the next bad batch passes as well"),
        "restart_materialization": (1, "the job runs; as long as batches are held it has nothing new to read"),
    },
    "unit_change": {
        "mask_input": (3, "neither server nor training reads the wrong unit any more"),
        "wait": (1, "training learns the wrong unit, and breaks again on the day the producer mends it"),
        "hold_everything": (1, "right for training; the server goes on reading the wrong unit"),
    },
    "interests_moved": {
        "shorten_window": (3, "what people liked before is forgotten sooner"),
        "wait": (1, "nightly training follows slowly: its window is full of old days"),
    },
    "features_not_refreshed": {"restart_materialization": (3, "the next morning's features are fresh")},
    "wrong_model_served": {"roll_back": (3, "the model that was evaluated serves everybody again")},
    "store_down": {"fail_over_store": (3, "features are there again for the users who had none")},
}
"""By cause: what reaches it (3), helps (2), or treats what follows from it (1), and why. All else earns nothing."""

WHY = {
    "roll_back": "the model that the gate promoted is not what went wrong",
    "restart_materialization": "the job did what it could, every night",
    "quarantine_platform": "no platform logs worse than another",
    "hold_everything": "the batches are sound",
    "raise_limits": "verification does not stand in the way",
    "mask_input": "no producer changed an input",
    "fail_over_store": "the store answers",
    "shorten_window": "newer days say nothing that older ones do not",
    "wait": "nightly training does not touch it",
}
"""Why such an action earns nothing."""


class Watched(DailyLoop):
    """A loop that keeps what a dashboard shows. `careless`: it trains on the wrong label, and no gate holds it."""

    careless = False
    reference: ModelMonitor | None = None
    boards: tuple[dict[str, Any], ...] = ()

    def _collect(self, log: pd.DataFrame, catalogue: Catalogue) -> bool:
        once = log.drop_duplicates("event_id")
        seen = once[once["arrival_time"] < self.world.now]
        null, device = seen["action"].isna(), seen["device"]
        self.seen: dict[str, Any] = {
            f"null_{name.lower()}": null[device == name].mean() for name in ("iOS", "Android", "Web")
        }
        self.seen |= {"null": null.mean(), "late": 1 - len(seen) / len(once)}
        self.seen |= {"like_share": (seen["action"] == "like").sum() / (~null).sum()}
        return super()._collect(log, catalogue)

    def _monitor(self, served: ServedRanker, seen: pd.DataFrame, stale: np.timedelta64, passed: bool) -> Told:
        total, trained = sum(served.rungs.values()), f"{self.config.model.name}:{self.day}"
        likes = float((seen["action"] == "like").sum() / max(seen["session_id"].nunique(), 1))
        row = self.seen | {"day": self.day - 1, "likes": likes, "age_h": stale / np.timedelta64(1, "h")}
        row |= {name: served.rungs[name] / total for name in ("defaults", "popularity")}
        row["auc"] = self.registry.metrics.get(trained, {}).get("auc", np.nan)
        if self.reference is None:
            row["sample"] = pd.concat(served.samples)
        elif served.samples:
            found = self.reference.check(pd.concat(served.samples)).set_index("column")["psi"]
            row |= {name: found[found.index.str.startswith(start)].max() for name, start in PSI.items()}
        self.boards = (*self.boards, row)
        return Told((), (), {}, pd.DataFrame())

    def watch(self) -> tuple[float, str]:
        """From now on drift is measured against the week that is over. How much its days differed: likes, limits."""
        week, self.boards = pd.DataFrame(list(self.boards[-7:])), ()
        self.reference = ModelMonitor.from_days(list(week["sample"]))
        limits = pd.Series(self.reference.limits)
        found = [f"{name} {limits[limits.index.str.startswith(start)].max():.2f}" for name, start in PSI.items()]
        return float(week["likes"].std() / week["likes"].mean()), ", ".join(found)

    def fit(self, days: Sequence[Training], estimator: str) -> RegisteredModel:
        """See `careless`."""
        if self.careless:
            days = [Training(day.features, pd.Series(np.where(day.action == "like", "view", "like"))) for day in days]
        return super().fit(days, estimator)

    def board(self) -> pd.DataFrame:
        """The dashboard from day 1 on, and `given`: expected likes per session, logged or not."""
        told = self.frame().set_index("day")
        rows = pd.DataFrame(list(self.boards)).set_index("day").join(told[["sessions", "held"]])
        rows = rows.reindex(columns=NUMBERS).astype(float).round(COLUMNS) + 0.0
        rows["gate"] = np.select([rows["auc"].isna(), told["gate"] == "promoted"], ["no model", "promoted"], "held")
        return rows.assign(model=told["model_version"].str.split(":").str[1], given=told["likes_per_session"])


def settings(**changes: object) -> SystemConfig:
    """Linear models with a short memory: they are fast."""
    short = {"features.window_days": MEMORY, "features.ttl_days": MEMORY, "training.lookback_days": 7}
    few = {"training.estimator": "linear", "training.max_rows": 15_000}
    return SystemConfig.load(overrides={**short, **few, **changes})


def struck(loop: Watched, cause: str, day: int, size: float = 0.0) -> Watched:
    """A copy of a loop whose world, or training, has this cause; incidents from `day` on, the rest from now on."""
    copy = deepcopy(loop)
    if cause in INCIDENTS:
        kind, *_, usual = INCIDENTS[cause]
        copy.world.incidents = Incidents([Incident(kind, day + WARM_UP - 1, 999, size or usual)])
    elif cause in WORLDS:
        copy.world.p = replace(copy.world.p, **{WORLDS[cause][0]: WORLDS[cause][1]})
    else:
        copy.careless, copy.config = True, settings(**{"training.tolerance": 1.0})
    return copy


def until(loop: Watched, day: int) -> pd.DataFrame:
    """The dashboard after that day."""
    loop.run(day)
    return loop.board()


def shared(moved: Mapping[str, float], ill: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Columns that a rival moves: those that went the same way in the sick system, and those that were quiet there.

    Quiet is also what moved less than the width of a range, and a tenth as far as the rival moves it.
    """
    here = {name: ill["above" if far > 0 else "below"][name] for name, far in moved.items()}
    quiet = [name for name, far in moved.items() if here[name] <= max(QUIET, min(abs(far) / 10, 1.0))]
    return {"moved": tuple(name for name in moved if name not in quiet), "quiet": tuple(quiet)}


def variant(seed: int) -> Variant:
    """Which system is sick, of what, from which day on, and how badly; the other one has other dice."""
    # Six seeds in a row are six causes; between the last of six and the next one the sick system changes.
    rng, block, end = generator(seed, 1), seed // 6, seed % 6 == 5
    cause, first = list(INCIDENTS)[generator(block, 2).permutation(6)[seed % 6]], int(rng.integers(5, 9))
    size, sick = float(rng.uniform(*INCIDENTS[cause][1:3])), "AB"[rng.integers(2)]
    if seed % 6 in (0, 5):
        sick = "AB"[generator(block + end, 3).integers(2) ^ end]
    loop = Watched(settings(), seed=seed, users=USERS)
    loop.run(0)
    usual, limits = loop.watch()
    other = deepcopy(loop)
    other.world.seed = seed + 1
    control = until(other, DAYS)
    loop.run(first - 2)
    ill = until(struck(loop, cause, first, size), DAYS)
    rivals = {one: until(struck(loop, one, first), first + (one in SLOW)) for one in BY_NIGHT if one != cause}
    loop.run(first - 1)
    rivals |= {one: until(struck(loop, one, first), first + (one in SLOW)) for one in BY_DAY if one != cause}
    fallback = struck(loop, cause, first, size)
    fallback.config = settings(flags=("serve_popularity",))
    popular, twin = until(fallback, first)["given"][first], until(loop, DAYS)
    healthy, bad, well = pd.concat([ill[: first - 1], control]), ill[first - 1 :], twin[first - 1 :]
    low, high = healthy[NUMBERS].min(), healthy[NUMBERS].max()
    width = np.maximum(high - low, pd.Series(dict.fromkeys(NUMBERS, 0.01) | NOISE))

    def sides(board: pd.DataFrame) -> pd.DataFrame:
        """How far below and above its healthy range each column came since `first`, in widths of that range."""
        rows = board.loc[first:, NUMBERS]
        far = {"below": (low - rows).max(skipna=False) / width, "above": (rows - high).max(skipna=False) / width}
        return pd.DataFrame(far).fillna(np.inf).clip(lower=0).round(2)

    def moved(board: pd.DataFrame) -> dict[str, float]:
        """Columns that left their range, and are far from where they would have been; down is negative."""
        gone, apart = sides(board).replace(np.inf, 0), (board[NUMBERS] - twin[NUMBERS]).abs().max() / width
        far = gone["above"].where(gone["above"] >= gone["below"], -gone["below"])
        return dict(far[(far.abs() >= MOVED) & (apart >= MOVED)].sort_values(key=abs, ascending=False, kind="stable"))

    def lost(one: pd.Series, other: pd.Series) -> float:
        return 100 * float(1 - one.mean() / other.mean())

    onset = (sides(ill[:first]).max(axis=1) - sides(twin[:first]).max(axis=1)).replace(np.inf, 0).idxmax()
    key = {"sick": sick, "cause": cause, "first_day": first, "moved": moved(ill), "onset": str(onset)}
    key |= {"rivals": {one: shared(moved(board), sides(ill)) for one, board in rivals.items()}}
    key |= {"cost": lost(bad["given"], well["given"]), "logged": lost(bad["likes"], well["likes"])}
    key |= {"last": lost(bad["given"][-1:], well["given"][-1:]), "fallback": lost(popular, well["given"][first])}
    key |= {"unseen": {name: tuple(well[name]) for name in NUMBERS}}
    tables: dict[str, pd.DataFrame] = {}
    for name, board in zip("AB", (ill, control) if sick == "A" else (control, ill), strict=True):
        rows = board.drop(columns="given").reset_index()
        tables |= {f"{name}_health": rows.drop(columns=list(PSI)), f"{name}_drift": rows[["day", *PSI]]}
    shown = {"days": DAYS, "today": DAYS + 1, "memory": MEMORY, "sessions": ill["sessions"].mean()}
    return Variant(shown | {"usual": 100 * usual, "limits": limits}, key, tables)


def truths(variant: Variant) -> dict[str, float]:
    """What the intervals should hold."""
    return {"cost": variant.key["cost"]}


def found(answer: Answer, variant: Variant) -> Evidence:
    """Which system, since when?"""
    key, said, day = variant.key, answer["sick"], answer["first_day"]
    if said != key["sick"]:
        return Evidence(
            0, f"you said {said}; one system ran with an incident, the other without: you took noise for it"
        )
    late, seen = day - key["first_day"], ", ".join(list(key["moved"])[:3])
    if not late:
        return Evidence(3, f"system {said} from day {day:g} on; what moved farthest: {seen}")
    when = f"{_many(abs(late), 'day')} too {'late' if late > 0 else 'early'}"
    why = f"{key['onset']} had left its range before" if late > 0 else "on that day the run was still healthy"
    return Evidence(2 if abs(late) == 1 else 1, f"the right system, but day {day:g} is {when}: {why}")


def cause(answer: Answer, variant: Variant) -> Evidence:
    """Is it this cause? If not: how did the dashboard look in the run that has it?"""
    said, key = answer["cause"], variant.key
    if said == key["cause"]:
        return Evidence(3, f"{said}: the run with it, and nothing else, gives these tables")
    if (said, key["cause"]) == ("features_not_refreshed", "lost_actions"):
        return Evidence(
            1, "a run with features_not_refreshed has old features too, and holds no rows: here they follow"
        )
    if quiet := key["rivals"][said]["quiet"]:
        return Evidence(0, f"a run with {said} moves {quiet[0]}, which hardly moved here")
    spare = [name for name in key["moved"] if name not in key["rivals"][said]["moved"]] or list(key["moved"])
    return Evidence(0, f"a run with {said} does not move {spare[0]} as it moved here")


def rivals(answer: Answer, variant: Variant) -> Evidence:
    """Would the rival explain something, and move the column, and did the column stay quiet?"""
    key, good, bad, idle = variant.key, set[str](), [], []
    for row in answer["ruled_out"]:
        rival, column = row["rival"], row["column"]
        run = key["rivals"].get(rival)
        if run is None:
            bad.append(f"nothing in these tables rules out {rival}")
        elif not run["moved"]:
            idle.append(f"{rival} would explain nothing that moved here: it earns nothing")
        elif column in run["quiet"]:
            good.add(rival)
        elif column in run["moved"]:
            bad.append(f"{column} moved in the sick system too, so it does not rule out {rival}")
        else:
            bad.append(f"a run with {rival} does not move {column}")
    most = min(3, sum(bool(run["moved"] and run["quiet"]) for run in key["rivals"].values()))
    points = 3 if len(good) >= most and not bad else 2 if len(good) >= 2 > len(bad) else int(len(good) > len(bad))
    points = min(points, 1) if any(row["rival"] == key["cause"] for row in answer["ruled_out"]) else points
    named = f" ({', '.join(sorted(good))})" if good else ""
    return Evidence(points, "; ".join([f"{_many(len(good), 'rival')} ruled out{named}", *bad[:2], *idle[:1]]))


def action(answer: Answer, variant: Variant) -> Evidence:
    """Does the action reach the cause? Popularity for everybody is judged by what it loses."""
    said, key = answer["action"], variant.key
    last = f"{max(key['last'], 0):.0f} % of likes lost on day {DAYS}"
    if said == "serve_popularity":
        better = key["fallback"] + 2 < key["last"]
        told = "it stops the worst, the cause stays" if better else "the cure is no better than the disease"
        return Evidence(2 if better else 1, f"popularity for everybody loses {key['fallback']:.0f} %, {last}: {told}")
    points, why = ACTIONS[key["cause"]].get(said, (0, ""))
    if said == "wait" and points and key["last"] < key["cost"] / 2:
        return Evidence(2, f"likes are coming back, {last}; but {why}")
    return Evidence(points, f"{why}; {last}" if why else f"{said} leaves the cause where it is: {WHY[said]}; {last}")


def cost(answer: Answer, variant: Variant) -> Evidence:
    """Likes that people did not give, against the same days without the incident."""
    (low, high), truth, logged = answer["cost"], variant.key["cost"], variant.key["logged"]
    told = f"you said {low:g} to {high:g} %, the same days without the incident say {truth:.1f} %"
    if not low <= truth <= high:
        lost = "; people went on liking, it was the log that lost" if logged > truth + 10 and low > truth else ""
        return Evidence(1 if min(abs(low - truth), abs(high - truth)) <= 1 else 0, f"{told}: missed{lost}")
    points = 3 if high - low <= 12 else 2 if high - low <= 18 else 1
    return Evidence(points, told + ("" if points == 3 else f"; {high - low:g} points are wide"))


def page(answer: Answer, variant: Variant) -> Evidence:
    """The conditions, replayed on the sick days, the control, and healthy days that nobody saw."""
    key, rules, tables = variant.key, answer["page"], variant.tables
    if len(rules) > 3:
        return Evidence(0, f"{len(rules)} conditions are not a page, they are a wall; three at most")
    boards = {name: tables[f"{name}_health"].join(tables[f"{name}_drift"].set_index("day"), on="day") for name in "AB"}
    ill, control = boards.pop(key["sick"]), next(iter(boards.values()))
    pages = _pages(rules, ill)
    first = key["first_day"] - 1
    false = {"on the control": _pages(rules, control).sum(), "before the incident": pages[:first].sum(),
             "on healthy days you had not seen": _pages(rules, pd.DataFrame(key["unseen"])).sum()}  # fmt: skip
    wrong, caught = int(sum(false.values())), np.flatnonzero(pages[first:])
    told = _many(wrong, "false alarm") + "".join(f", {n} {where}" for where, n in false.items() if n)
    if not caught.size:
        return Evidence(0, f"no page on any sick day; {told}")
    points = 3 if not wrong and caught[0] == 0 else 2 if wrong <= 1 >= caught[0] else 1 if wrong <= 3 else 0
    return Evidence(points, f"first page {_many(caught[0], 'day')} after the onset; {told}")


def _pages(rules: list[dict[str, Any]], board: pd.DataFrame) -> np.ndarray:
    """Whether any condition holds, per day."""
    held = [board[one["column"]] > one["value"] if one["when"] == "above" else board[one["column"]] < one["value"]
            for one in rules]  # fmt: skip
    return np.asarray(np.any(held, axis=0))


def _many(count: float, what: str) -> str:
    return f"{count:g} {what}{'' if count == 1 else 's'}"
