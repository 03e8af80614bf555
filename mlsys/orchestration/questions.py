"""Every default is a claim. Here each of the usual ones is asked why, and answered by a run.

The defaults are those that an interviewer's example has: 50 ms, ten replicas, thirty days, a tenth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from mlsys.capacity import plan
from mlsys.config import SystemConfig
from mlsys.core import microseconds
from mlsys.orchestration.bench import Bench
from mlsys.orchestration.grading import MONTH, Naive, Rules, corpus, graded
from mlsys.orchestration.scaling import most_load
from mlsys.orchestration.serving import budget, hit_rates
from mlsys.training import TreeModel
from mlsys.world import Random

DAYS, SHIFTED = 14, 3
"""Days of log, and how many of them people have wanted other things."""


class Answer(NamedTuple):
    """What was asked, what a run says, and what to say in the interview."""

    setting: str
    default: object
    question: str
    measured: str
    verdict: str


def questions(seed: int = 13, *, users: int = 300) -> Iterator[Answer]:
    """One after the other, since each takes a few seconds."""
    defaults = SystemConfig().flat()
    asked: dict[str, tuple[str, Callable[[], tuple[str, str]]]] = {
        "serving.max_latency_ms": ("Why not 20?", _latency),
        "serving.replicas": ("For how many users?", lambda: _replicas(int(defaults["serving.replicas"]))),
        "training.lookback_days": ("More data, or old data?", lambda: _lookback(seed, users)),
        "features.window_days": ("Why a week?", lambda: _window(seed, users)),
        "serving.explore": ("What does it cost?", lambda: _explore(seed, users, float(defaults["serving.explore"]))),
        "serving.feature_ttl_seconds": ("What is it hit?", lambda: _cache(seed, users)),
    }
    for name, (question, run) in asked.items():
        yield Answer(name, defaults[name], question, *run())
    yield Answer("an alert threshold", 0.1, "Of what, and how often?", *_threshold(seed, users))


def _latency() -> tuple[str, str]:
    service = float(budget(60).sum()) / 1e3
    loads = {limit: most_load(service, limit) for limit in (0.02, 0.05)}
    measured = f"a request takes {1e3 * service:.1f} ms; p99 stays below 20 ms up to {loads[0.02]:.0%} load"
    measured += f", below 50 up to {loads[0.05]:.0%}"
    return measured, f"50 ms saves {1 - loads[0.02] / loads[0.05]:.0%} of the servers against 20"


def _replicas(replicas: int) -> tuple[str, str]:
    service = float(budget(60).sum()) / 1e3
    carries = replicas * most_load(service, 0.05) / service
    need = plan([1e6, 1e8]).set_index(["users", "case"])["requests_per_second"]
    rates = {case: float(need[1e6, case]) for case in ("low", "mid", "high")}
    measured = (
        f"{replicas} one-core replicas carry {carries:,.0f} requests/s; a million users ask {rates['low']:,.0f} to "
        f"{rates['high']:,.0f} at the peak, a hundred million a hundred times that"
    )
    return measured, f"right for {carries / rates['mid']:.1f}M users, not for 1M and not for 100M"


def _lookback(seed: int, users: int) -> tuple[str, str]:
    shares = {}
    for name, incidents in (("calm", []), ("shifted", [f"interest_shift@{DAYS - SHIFTED}"])):
        bench = Bench(seed, users=users, days=DAYS, incidents=incidents)
        age = (microseconds(bench.now) - microseconds(bench.rows["event_time"])) / 86_400e6
        for days in (SHIFTED, 7, DAYS):
            some = age <= days
            model = TreeModel.fit(bench.X[some], bench.y[some], max_iter=30)
            shares[name, days] = bench.judge(model.predict).share
    rows = ", ".join(
        f"{days} days {shares['calm', days]:.0%} and {shares['shifted', days]:.0%}" for days in (SHIFTED, 7, DAYS)
    )
    best = max((SHIFTED, 7, DAYS), key=lambda days: shares["shifted", days])
    return (
        f"likes, of the oracle's, in calm weeks and {SHIFTED} days after a shift: {rows}",
        f"after a shift {best} days were best: weigh by age",
    )


def _window(seed: int, users: int) -> tuple[str, str]:
    bench, shares = Bench(seed, users=users, days=DAYS), {}
    for window in (1.0, 7.0, None):
        store = bench.stored(bench.log, window=window)
        X = bench.features(bench.rows, store)
        model = TreeModel.fit(X, bench.y, max_iter=30)
        shares[window] = bench.judge(model.predict, lambda rows, store=store: bench.features(rows, store)).share  # type: ignore[misc]
    measured = f"a day {shares[1.0]:.1%}, a week {shares[7.0]:.1%}, everything {shares[None]:.1%} of the oracle's likes"
    over = {window: f"{100 * (shares[7.0] - shares[window]):+.1f}" for window in (1.0, None)}
    return measured, f"a week is worth {over[1.0]} points over a day, {over[None]} over all"


def _explore(seed: int, users: int, share: float) -> tuple[str, str]:
    bench = Bench(seed, users=users, days=8)
    ranked, shuffled = bench.judge(bench.model.predict).share, bench.rank(Random()).share
    lost = share * (1 - shuffled / ranked)
    return (
        f"ranked {ranked:.0%} of the oracle's likes, shuffled {shuffled:.0%}",
        f"{share:.0%} of sessions shuffled cost {lost:.1%} of the likes",
    )


def _cache(seed: int, users: int) -> tuple[str, str]:
    bench = Bench(seed, users=users, days=6)
    rates = hit_rates(bench, [0.1, 1, 10], [60, 300], most=150)
    five, one = (", ".join(f"{rate:.0%}" for rate in rates[ttl].tolist()) for ttl in (300, 60))
    return f"hits at 0.1, 1 and 10 requests/s: {five}", f"with 60 s instead: {one}; it is traffic that fills it"


def _threshold(seed: int, users: int) -> tuple[str, str]:
    month = corpus(seed, users=users, kinds=(), month=MONTH)
    naive, rules = (float(graded(month, policy)["pages"].sum()) for policy in (Naive(0.1), Rules()))
    measured = f"a tenth on every metric pages {naive:.0f} times in {MONTH} healthy days, the rules {rules:.0f} times"
    return measured, "a threshold per signal, from what healthy days do"
