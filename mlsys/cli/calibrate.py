"""`mlsys calibrate`: measure what things cost here, and write it where plans and notebooks read it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Collection
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from tqdm import tqdm

from mlsys import FeatureStore, ModelServer, naive
from mlsys.capacity import UNIT_COSTS, unit_costs
from mlsys.cli.parts import request_parts
from mlsys.cli.validate import FACTOR, validate
from mlsys.core import EVENT_SCHEMA, MlsysError, VirtualClock
from mlsys.features.definitions import feed_views
from mlsys.training import LinearModel, TreeModel, label
from mlsys.training.retrieval import Embedding, top_k
from mlsys.world.noise import NoiseWorld

ONCE = ("naive_rank_500_us", "http_us")
"""Tasks that take long enough to be timed one at a time."""


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "calibrate",
        help="measure unit costs on this machine",
        description="Measure what ranking, features and storage cost on this machine (about half a minute) and write "
        "unit_costs.json. Notebooks and capacity plans read that file, so rebuild the notebooks afterwards.",
        epilog="Examples:\n"
        "  python start.py calibrate && python start.py notebook build\n"
        "  python start.py calibrate --check       predicted against measured, at 2,000 and 20,000 users",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, default=UNIT_COSTS, help="file to write (default: the package's own)")
    parser.add_argument("--repeat", type=int, default=7, help="interleaved rounds; medians are kept (default 7)")
    parser.add_argument("--missing", action="store_true", help="keep what the file has, measure only what it lacks")
    parser.add_argument(
        "--check", action="store_true", help="write nothing: do the file's costs hold at two scales here?"
    )
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, write, print."""
    if arguments.check:
        return _check(unit_costs(arguments.output))
    if arguments.repeat < 1 or not arguments.output.parent.is_dir():
        raise MlsysError(
            f"--repeat {arguments.repeat} --output {arguments.output}",
            why="there is at least one round, and the folder exists",
            fix="--repeat 7 --output costs.json",
        )
    known = unit_costs(arguments.output) if arguments.missing else {}
    costs = {**known, **measure(arguments.repeat, skip=known)}
    document = {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "date": date.today().isoformat(),
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "pandas": pd.__version__,
            "scikit-learn": sklearn.__version__,
        },
        "costs": costs,
    }
    part = arguments.output.with_suffix(".part")
    part.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8", newline="\n")
    part.replace(arguments.output)
    for name, value in costs.items():
        print(f"  {name:<36}{value:>12,.4g}")
    print(f"written: {arguments.output.name}")
    return 0


def _check(costs: dict[str, float]) -> int:
    """Print predicted against measured."""
    table = validate(costs)
    print(table.round(3).to_string(index=False))
    off = table[(table["ratio"] > FACTOR) | (table["ratio"] < 1 / FACTOR)]
    lowest, highest = table["ratio"].min(), table["ratio"].max()
    print(
        f"measured is {lowest:.2f} to {highest:.2f} times predicted: the interval of a plan that multiplies these costs"
    )
    for row in off.to_dict("records"):
        print(f"  more than {FACTOR:g} times off at {row['users']:,} users: {row['part']}")
    return 0


def measure(rounds: int, skip: Collection[str] = ()) -> dict[str, float]:
    """Medians over interleaved rounds; names end in their unit. Bytes are the width of a row, not measured.

    `score_*`: a model's own time for 500 rows of 11 features · `fit_*`: per row of 50,000 · `retrieve_1000_us`: an
    embedding's scores of 1,000 candidates and the best 500 of them · the rest: see `request_parts`.
    """
    rows = 50_000
    events = NoiseWorld(users=rows // 10, posts=rows // 2, seed=7).events(rows)
    kept = events[events["action"].notna()]
    users, posts = naive.extract_features(events.head(10_000))
    model = naive.train(events.head(10_000)).model
    slow = naive.Server(model, users, posts)
    store = FeatureStore()
    store.apply(*feed_views())
    store.ingest(kept)
    clock = VirtualClock(NoiseWorld(seed=7).end)
    store.materialize(clock.now())
    features = store.get_historical_features(kept, store.list_features())[store.list_features()]
    server = ModelServer(LinearModel.fit(features, label(kept)), store, clock=clock)
    candidates = np.arange(1, 501)

    def extract() -> None:
        fresh = FeatureStore()
        fresh.apply(*feed_views())
        fresh.ingest(kept)
        fresh.get_historical_features(kept, fresh.list_features())

    X = pd.DataFrame(np.random.default_rng(7).random((rows, 11)), columns=[f"f{i}" for i in range(11)])
    y = (X["f0"] * X["f1"] + X["f2"] > 1).to_numpy(np.float64)
    few, many, some = TreeModel.fit(X, y, max_iter=60), TreeModel.fit(X, y, max_iter=240), X.head(500).to_numpy()
    linear, codes = LinearModel.fit(X, y), np.arange(rows) % 200
    embedding, asked = Embedding.fit(codes, [codes, codes % 10], y), np.arange(1_000)[None] % 200
    one = np.array([5])
    tasks: dict[str, tuple[Callable[[], object], float]] = {
        "naive_features_us_per_event": (lambda: naive.extract_features(events), 1e6 / rows),
        "features_us_per_event": (extract, 1e6 / rows),
        "naive_rank_500_us": (lambda: slow.rank(5, candidates.tolist()), 1e6),
        "rank_500_us": (lambda: server.rank(5, candidates), 1e6),
        "naive_predict_us": (lambda: slow.predict(5, 7), 1e6),
        "predict_us": (lambda: server.predict(5, 7), 1e6),
        "score_linear_500_us": (lambda: linear.predict_array(some), 1e6),
        "score_60_trees_500_us": (lambda: few.predict_array(some), 1e6),
        "score_240_trees_500_us": (lambda: many.predict_array(some), 1e6),
        "retrieve_1000_us": (lambda: top_k(embedding.score(one, [asked, asked % 10]), 500), 1e6),
        "fit_linear_us_per_row": (lambda: LinearModel.fit(X, y), 1e6 / rows),
        "fit_60_trees_us_per_row": (lambda: TreeModel.fit(X, y, max_iter=60), 1e6 / rows),
    }
    tasks = {name: task for name, task in {**tasks, **request_parts()}.items() if name not in skip}
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in tqdm(range(rounds), desc="calibrating", unit="round"):
        for name, (task, scale) in tasks.items():
            repeats = 1 if name in ONCE or "per_" in name else 50
            start = time.perf_counter()
            for _ in range(repeats):
                task()
            taken[name].append((time.perf_counter() - start) / repeats * scale)
    costs = {name: float(f"{statistics.median(times):.3g}") for name, times in taken.items()}
    width = {"category": 1, "int64": 8, "float64": 8, "datetime64[us]": 8}
    costs["event_bytes"] = float(sum(width[dtype] for dtype in EVENT_SCHEMA.values()))
    costs["online_row_bytes"] = float(8 + 8 + 4 * len(store.list_feature_views()[0].refs))
    return costs
