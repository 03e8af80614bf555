"""Which features leak, how, and what is left.

A feature is a rate or a count over some rows of the log; its honest and its leaking version differ only in which rows.
All of it is run. Who leaks: everything that arrives after an instant is rewritten, and no value scored before may move.
Own label inside: labels are shuffled. Repairs: compared with what had arrived, and refitted. Checks: done.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import pandas as pd

from mlsys.core import MlsysError, generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.evaluation import auc
from mlsys.features import Aggregation, Entity, FeatureStore, FeatureView
from mlsys.features.catalogue import Catalogue
from mlsys.training import LinearModel, time_split
from mlsys.world import Random, World
from mlsys.world.truth import expected_auc

Spec = Mapping[str, str]
Columns = Mapping[str, np.ndarray]
DAYS, SHUFFLES, INSTANTS, DIFFERS, PAYS = 9, 5, (0.2, 0.4, 0.6, 0.8), 0.002, 0.003
RATE, LIKES, SHOWN = "rate", "likes", "impressions"
KEYS = {"user": "user_id", "post": "post_id", "creator": "creator_id", "topic": "topic", "session": "session_id",
        "user_topic": "user_topic", "user_creator": "user_creator", "user_day": "user_id"}  # fmt: skip
POOL = {"user_like_rate": ("user", RATE), "post_like_rate": ("post", RATE), "creator_like_rate": ("creator", RATE),
        "user_topic_like_rate": ("user_topic", RATE), "user_creator_like_rate": ("user_creator", RATE),
        "topic_like_rate": ("topic", RATE), "recent_like_rate": ("session", RATE), "post_likes": ("post", LIKES),
        "user_topic_likes": ("user_topic", LIKES), "post_impressions": ("post", SHOWN),
        "user_impressions": ("user", SHOWN)}  # fmt: skip
PLAIN = {"post_age_hours": "hours from the creation of the post to this.event_time",
         "post_length": "length of the post, from 0 to 1, fixed when it is written",
         "on_web": "1 if the request comes from a browser, else 0"}  # fmt: skip
NIGHTLY = "nightly table, a line per {by} and date D, filled at 24:00 of D from rows that had arrived; joined on {by}, "
READS = {
    "arrived": "rows with the same {by}, arrival_time < this.event_time",
    "nightly": NIGHTLY + "D = date of this.event_time - 1 day",
    "last_day": "rows with the same {by}, event_time in the last 24 h, arrival_time < this.event_time",
    "happened": "rows with the same {by}, event_time < this.event_time",
    "upto": "rows with the same {by}, event_time <= this.event_time",
    "snapshot": NIGHTLY + "D = date of this.event_time",
    "whole": "all rows of the file, GROUP BY {by}; joined on {by}",
    "others": "all rows of the file (train and test), GROUP BY {by}; joined on {by}; this row left out",
    "midnight": "rows with the same {by}, event_time before 24:00 of this row's date; this row left out",
    "slots": "all rows with the same {by}; this row left out",
}
HONEST = ("arrived", "nightly", "last_day")
LEAKS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    RATE: {"own_label": ("upto", "whole", "snapshot"), "test_labels": ("others",), "later_events": ("midnight",),
           "not_arrived": ("happened",)},
    LIKES: {"own_label": ("upto", "whole", "snapshot"), "later_events": ("midnight",), "not_arrived": ("happened",)},
    SHOWN: {"later_events": ("midnight", "whole"), "not_arrived": ("happened",)},
    "topic": {"not_arrived": ("happened",)},
    "session": {"own_label": ("whole",), "later_events": ("slots",), "not_arrived": ("happened",)},
}  # fmt: skip
MECHANISMS = tuple(LEAKS[RATE])
REPAIRS = {"as_of_arrival": "arrived", "by_event_time": "happened", "train_rows_only": "train"}
OWN_OUT = {"upto": "happened", "snapshot": "midnight", "whole": "others"}


class Reader:
    """For every row of a log, likes and impressions among the rows of a key that one of `READS` names."""

    def __init__(self, log: pd.DataFrame, train: np.ndarray) -> None:
        self.log, self.train, self.liked = log, train, (log["action"] == "like").to_numpy(np.float64)
        self.known, self.happened = _store(log), _store(log.assign(arrival_time=log["event_time"]))
        age = (log["event_time"].to_numpy("M8[us]").astype(np.float64) - log["created"]) / 3.6e9
        self.plain = dict(zip(PLAIN, (age.round(2), log["length"].round(4), log["device_code"] == 2), strict=True))
        self.sums = functools.cache(self._sums)

    def column(self, name: str, how: str) -> np.ndarray:
        """A feature, float64 (n,), as it stands in the file."""
        if name in PLAIN:
            return np.asarray(self.plain[name], np.float64)
        key, what = POOL[name]
        likes, shown = self.sums("user_day" if how == "last_day" else key, how)
        return np.round((likes + 1) / (shown + 5), 5) if what == RATE else likes if what == LIKES else shown

    def _sums(self, key: str, how: str) -> tuple[np.ndarray, np.ndarray]:
        if how == "train":  # this row left out
            code = pd.factorize(self.log[KEYS[key]])[0]
            y, n = self.liked * self.train, self.train.astype(np.float64)
            return np.bincount(code, y)[code] - y, np.bincount(code, n)[code] - n
        now, tick = self.log["event_time"].to_numpy("M8[us]"), np.timedelta64(1, "us")
        today = now.astype("M8[D]").astype("M8[us]")
        end, night = np.full_like(now, now.max() + tick), today + np.timedelta64(1, "D")
        at = {"nightly": today, "upto": now + tick, "snapshot": night, "midnight": night, "whole": end, "others": end,
              "slots": end}.get(how, now)  # fmt: skip
        store = self.known if how in (*HONEST, "snapshot") else self.happened
        found = store.get_historical_features(self.log.assign(event_time=at), [f"{key}:likes", f"{key}:shown"])
        likes, shown = (np.nan_to_num(found[f"{key}:{one}"].to_numpy(np.float64)) for one in ("likes", "shown"))
        own = how in ("midnight", "others", "slots")
        return likes - self.liked * own, shown - own


def variant(seed: int) -> Variant:
    """A log and eight features, two to four of which leak; what runs say about each."""
    rng = generator(seed, 1)
    minutes = int(rng.choice([60, 90, 120, 180]))
    log, p_like = _log(seed, minutes)
    split = time_split(log)
    reader, train, test = Reader(log, split.train), split.train, split.test
    liked = reader.liked

    def alone(values: np.ndarray, rows: np.ndarray = test) -> float:
        return auc(liked[rows], values[rows]).value

    def fit(columns: Columns) -> float:
        return fitted(pd.DataFrame(columns), liked, train, test)

    while True:  # until an honest feature is stronger than a leak, and the leaks together pay
        leaks, spec = _draw(rng)
        columns = {name: reader.column(name, how) for name, how in spec.items()}
        aucs = {name: alone(values) for name, values in columns.items()}
        honest = {name: values for name, values in columns.items() if name not in leaks}
        reported, left = fit(columns), fit(honest)
        top = sorted(aucs, key=lambda name: -abs(aucs[name] - 0.5))[: len(leaks)]
        if 0 < len(set(top) - set(leaks)) < len(leaks) and reported - left > 0.03:
            break

    rewritten = _rewritten(log, train, test, spec, columns, generator(seed, 3))
    repairs, empty = {}, []
    for name in leaks:
        repairs[name] = {"drop": (0.0, left)}
        for repair, reads in {**REPAIRS, "leave_own_row_out": OWN_OUT.get(spec[name], spec[name])}.items():
            mended = reader.column(name, reads)
            known = mended if reads == "train" else reader.column(name, "arrived")  # train rows arrived before the cut
            repairs[name][repair] = (float((mended != known)[test].mean()), fit({**honest, name: mended}))
        empty += [name] * int((reader.sums(POOL[name][0], "arrived")[1][test] == 0).mean() > 0.9)
    shuffled = _shuffled(log, train, test, spec, seed)
    flags = {
        "auc_alone": [n for n in spec if abs(aucs[n] - 0.5) > 0.1],
        "train_against_test": [n for n in spec if alone(columns[n], train) - aucs[n] > 0.02],
        "drop_one": [n for n in spec if reported - fit({k: v for k, v in columns.items() if k != n}) > 0.01],
        "shuffled_labels": [n for n in spec if shuffled[n] > 0.52],
        "served_against_trained": [n for n in spec if rewritten[n] > 0],
    }
    if set(flags["served_against_trained"]) != set(leaks):
        raise MlsysError(f"seed {seed}: {flags['served_against_trained']} know the future, not {list(leaks)}",
                         why="a key is what a run says", fix="mend the definition of the one that differs")  # fmt: skip
    table = log[["event_id", "session_id", "user_id", "post_id", "creator_id", "topic", "event_time", "arrival_time"]]
    table = table.assign(
        split=np.where(train, "train", np.where(test, "test", "gap")), liked=liked.astype(int), **columns
    )
    shown = {
        "rows": len(log), "test_rows": int(test.sum()), "days": DAYS, "share": float(liked.mean()), "auc": reported,
        "minutes": minutes, "shuffles": SHUFFLES, "cut": str(split.cut)[:16].replace("T", " "), "spec": _table(spec),
        "plain": fit({n: reader.column(n, "plain") for n in PLAIN}),
    }  # fmt: skip
    key = {"leaks": leaks, "left": left, "reported": reported, "ceiling": expected_auc(p_like[test], p_like[test]),
           "auc": aucs, "repairs": repairs, "empty": empty, "flags": flags, "shuffled": shuffled,
           "top": top}  # fmt: skip
    return Variant(shown, key, {"features": table})


def truths(variant: Variant) -> dict[str, float]:
    """What the interval should hold."""
    return {"auc_left": variant.key["left"]}


def found(answer: Answer, variant: Variant) -> Evidence:
    """Which are named, and what a model of the others still reports: refitted."""
    key, table = variant.key, variant.tables["features"]
    leaks, named = set(key["leaks"]), [row["feature"] for row in answer["leaks"]]
    hits, false, missed = leaks & set(named), sorted(set(named) - leaks), leaks - set(named)
    train, test = (table["split"].to_numpy() == one for one in ("train", "test"))
    kept = [name for name in key["auc"] if name not in leaks or name in missed]
    over = fitted(table[kept], table["liked"].to_numpy(), train, test) - key["left"] if missed else 0.0
    said = f"You named {len(named)}, of these {len(hits)} leak; there are {len(leaks)}."
    if len(set(named)) < len(named):
        return Evidence(0, f"{said} A feature is named twice.")
    if false and false[0] in key["auc"]:
        said += f" {false[0]} is honest, AUC {key['auc'][false[0]]:.3f}: rewrite what arrives later, it does not move."
    elif false:
        said += f" {false[0]} is not among the eight."
    if missed:
        said += (
            f" What you keep still leaks: it moves the clean model's AUC by {over:+.3f}, and serving will not have it."
        )
    quiet = len(missed) == 1 and len(leaks) >= 3 and over <= 0.01
    good = (not missed and len(false) == 1) or (quiet and not false)
    return Evidence(3 if not missed and not false else 2 if good else int(len(hits) > len(false)), said)


def mechanisms(answer: Answer, variant: Variant) -> Evidence:
    """By which mechanism, among the leaks that were named; the shuffled labels say whose own label is inside."""
    key = variant.key
    rows = [row for row in answer["leaks"] if row["feature"] in key["leaks"]]
    wrong = [row for row in rows if row["mechanism"] != key["leaks"][row["feature"]]]
    said = f"Of {len(rows)} leaks that you named, {len(rows) - len(wrong)} have their mechanism."
    if wrong:
        name, shuffled = wrong[0]["feature"], key["shuffled"][wrong[0]["feature"]]
        inside = "so its own label is inside" if shuffled > 0.52 else "so its own label is not inside"
        said += f" {name} is not {wrong[0]['mechanism']}: with shuffled labels its AUC is {shuffled:.2f}, {inside}."
    share = (len(rows) - len(wrong)) / max(len(rows), 1)
    return Evidence(3 if share == 1 else 2 if share >= 0.66 else int(share > 0), said)


def left(answer: Answer, variant: Variant) -> Evidence:
    """Does the interval hold the AUC without the leaks, and is it narrow?"""
    (low, high), key = answer["auc_left"], variant.key
    said = f"You said {low:.3f} to {high:.3f}, the run without the leaks says {key['left']:.3f}"
    if not low <= key["left"] <= high:
        best = f"; nobody can pass {key['ceiling']:.3f} here, the colleague reported {key['reported']:.3f}"
        return Evidence(0, said + "; missed" + best * (key["reported"] > key["ceiling"]) + ".")
    points = 3 if high - low <= 0.0401 else 2 if high - low <= 0.1001 else 1
    return Evidence(points, f"{said}; held, {high - low:.2f} wide{' is too wide to act on' * (points == 1)}.")


def repair(answer: Answer, variant: Variant) -> Evidence:
    """Does the repaired column hold only what serving has, and does the repair keep what is honest in it?"""
    key = variant.key
    rows = [row for row in answer["leaks"] if row["feature"] in key["leaks"]]
    judged = [(row["feature"], row["repair"], *key["repairs"][row["feature"]][row["repair"]]) for row in rows]
    leaky = [one for one in judged if one[2] > DIFFERS]
    if not rows or leaky:
        said = f"Of {len(rows)} leaks that you named, {len(rows) - len(leaky)} are closed."
        said += "".join(f" {fix} leaves {name} unlike what serving has on {share:.0%} of the test rows."
                        for name, fix, share, _ in leaky[:1])  # fmt: skip
        return Evidence(int(len(leaky) < len(rows)), said)
    lost = {name: key["repairs"][name]["as_of_arrival"][1] - got for name, _, _, got in judged}
    for name, fix, _, _ in judged:
        if name in key["empty"] and fix != "drop":
            return Evidence(2, f"All closed. But {name} after {fix} is empty on most test rows: nothing is left of it.")
        if name not in key["empty"] and lost[name] > PAYS:
            return Evidence(
                2, f"All closed. But {fix} gives away {lost[name]:.3f} AUC that {name} as of arrival earns."
            )
    return Evidence(3, f"All {len(rows)} closed, and no repair gives away more than {PAYS} AUC.")


def detection(answer: Answer, variant: Variant) -> Evidence:
    """The check is done, on these eight; so is the shuffle of the labels."""
    key, check, said = variant.key, answer["first_check"], set(answer["shuffle_flags"])
    leaks, flagged = set(key["leaks"]), set(key["flags"][check])
    clean = flagged == leaks
    text = f"{check} flags {len(flagged & leaks)} of {len(leaks)} leaks and {len(flagged - leaks)} honest features."
    off = said ^ set(key["flags"]["shuffled_labels"])
    if off:
        name = min(off)
        at = f"{key['shuffled'][name]:.2f}" if name in key["shuffled"] else "nothing: it is not among the eight"
        text += f" Shuffled labels: wrong about {len(off)}, for example {name}: its AUC is then {at}."
    else:
        text += f" Shuffled labels: right, {len(said)} stay above 0.52; only an own label survives that."
    return Evidence((3 if not off else 2 if len(off) == 1 else 1) if clean else int(not off), text)


def _table(spec: Spec) -> str:
    """The feature spec as markdown."""
    by = {"user_topic": "user_id, topic", "user_creator": "user_id, creator_id"}
    lines = ["| feature | definition |", "|---|---|"]
    for name, how in spec.items():
        key, what = POOL.get(name, ("", ""))
        key = "user" if how == "last_day" else key
        text = PLAIN.get(name) or f"{what}: {READS[how].format(by=by.get(key, KEYS[key]))}"
        lines.append(f"| `{name}` | {text} |")
    return "\n".join(lines)


def _store(log: pd.DataFrame) -> FeatureStore:
    store = FeatureStore()
    for name, column in KEYS.items():
        days = 1.0 if name == "user_day" else None
        likes = Aggregation("likes", "sum", column="action", equals="like", window_days=days)
        shown = Aggregation("shown", "count", column="action", window_days=days)
        store.apply(FeatureView(name, Entity(name, column), (likes, shown)))
    store.ingest(log)
    return store


def _log(seed: int, minutes: int) -> tuple[pd.DataFrame, np.ndarray]:
    world = World(seed=seed, users=220, new_users_per_day=1, sessions_per_day=1.1, posts_per_day=50, creators=80,
                  delay_minutes=minutes, late_share=0.05, duplicate_share=0, n_jobs=1)  # fmt: skip
    days = [world.step(Random()) for _ in range(DAYS)]
    log = pd.concat([day.log for day in days], ignore_index=True)
    kept = log["action"].notna().to_numpy()
    log = Catalogue(world.catalogue(), topics=world.p.topics).join_log(log[kept].reset_index(drop=True))
    log["user_creator"] = log["user_id"] * world.p.creators + log["creator_id"]
    return log, np.concatenate([day.p_like for day in days])[kept]


def _draw(rng: np.random.Generator) -> tuple[dict[str, str], dict[str, str]]:
    """Leaking features with their mechanism, and all eight with the rows they read."""
    n = int(rng.integers(2, 5))
    wanted = ["own_label", str(rng.choice(MECHANISMS[1:])), *map(str, rng.choice(MECHANISMS, n - 2))]
    ways = {name: LEAKS.get(key, LEAKS[what]) for name, (key, what) in POOL.items()}
    leaks, reads = {}, {}
    for mechanism in wanted:
        name = str(rng.choice([name for name in POOL if name not in leaks and mechanism in ways[name]]))
        leaks[name], reads[name] = mechanism, str(rng.choice(ways[name][mechanism]))
    plain = list(rng.choice(list(PLAIN), rng.integers(1, 3), replace=False))
    rest = list(rng.choice([name for name in POOL if name not in leaks], 8 - n - len(plain), replace=False))
    for name in map(str, rest):
        reads[name] = "last_day" if POOL[name][0] == "session" else str(rng.choice(["arrived", "nightly"]))
    reads |= {str(name): "plain" for name in plain}
    return leaks, {name: reads[name] for name in map(str, rng.permutation(list(reads)))}


def fitted(X: pd.DataFrame, liked: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    """Test AUC of a logistic regression."""
    return auc(liked[test], LinearModel.fit(X[train], liked[train]).predict(X[test])).value


def _rewritten(
    log: pd.DataFrame, train: np.ndarray, test: np.ndarray, spec: Spec, columns: Columns, rng: np.random.Generator
) -> dict[str, float]:
    """Share of each feature's values, of the 12 hours before some instants, that move when what arrives later is
    rewritten: half of those rows vanish, the others have the opposite label."""
    moved, rows = dict.fromkeys(spec, 0), 0
    happened, arrived = (log[one].to_numpy("M8[us]") for one in ("event_time", "arrival_time"))
    for instant in np.sort(happened[test])[[int(share * test.sum()) for share in INSTANTS]]:
        late = arrived >= instant
        kept = ~late | (rng.random(len(log)) < 0.5)
        action = (
            log["action"].mask(late & (log["action"] == "like"), "view").mask(late & (log["action"] != "like"), "like")
        )
        other = Reader(log.assign(action=action)[kept].reset_index(drop=True), train[kept])
        seen = (happened <= instant) & (happened > instant - np.timedelta64(12, "h")) & kept
        rows += int(seen.sum())
        for name, how in spec.items():
            moved[name] += int((other.column(name, how)[seen[kept]] != columns[name][seen]).sum())
    return {name: count / rows for name, count in moved.items()}


def _shuffled(log: pd.DataFrame, train: np.ndarray, test: np.ndarray, spec: Spec, seed: int) -> dict[str, float]:
    """Test AUC of each feature alone when labels are shuffled and all is computed anew; mean of some shuffles."""
    out = dict.fromkeys(spec, 0.0)
    for i in range(SHUFFLES):
        order = generator(seed, 2, i + 1).permutation(len(log))
        reader = Reader(log.assign(action=log["action"].array[order]), train)
        for name, how in spec.items():
            out[name] += auc(reader.liked[test], reader.column(name, how)[test]).value / SHUFFLES
    return out
