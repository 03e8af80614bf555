"""The world's rows do not depend on who computes them: this process, others, threads, or a Dask cluster."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from mlsys.world import Experiment, Oracle, Random, Requests, TableRanker, World
from mlsys.world.rankers import Ranker

SEED = secrets.randbelow(10**6)
USERS, DAYS = 6_000, 3  # three shards, the last of them shorter


@dataclass(frozen=True)
class Signing(TableRanker):
    """A table ranker that leaves a file named after the process and the thread in which it was asked."""

    folder: Path = Path()

    def scores(self, requests: Requests) -> np.ndarray:
        (self.folder / whoami()).touch()
        return super().scores(requests)


def whoami() -> str:
    return f"{os.getpid()}-{threading.get_ident()}"


def table(world: World, folder: Path) -> TableRanker:
    """Linear in identities; it knows the posts of the days to come as well."""
    rng, n = np.random.default_rng(SEED), len(world.posts) + DAYS * world.p.posts_per_day
    return Signing("table", rng.normal(size=n), rng.normal(size=(2 * USERS, 10)), rng.integers(0, 10, n), folder)


RANKERS: dict[str, Callable[[World, Path], Ranker]] = {
    "table": table,
    "random": lambda world, folder: Random(),
    "oracle": lambda world, folder: Oracle(),
    "experiment": lambda world, folder: Experiment(table(world, folder), Oracle(), np.arange(USERS) % 2 == 0),
}


def fingerprint(ranker: str, folder: Path, n_jobs: int | None = None) -> list[str]:
    """A hash per day and thing: log, true probabilities, values, satisfaction; at last, of tomorrow's exact values."""
    world = World(users=USERS, seed=SEED, n_jobs=n_jobs)
    served, hashes = RANKERS[ranker](world, folder), []
    for i in range(DAYS):
        day = world.step(served, explore=0.1, against=[Oracle()])
        rows = pd.util.hash_pandas_object(day.log).to_numpy()
        things = {"log": rows, "p_like": day.p_like, "value": day.value.to_numpy(), "joy": world.users.satisfaction}
        hashes += [f"day {i} {name} {hashlib.sha256(thing.tobytes()).hexdigest()}" for name, thing in things.items()]
    ahead = world.value([served, Random()], repeats=2).to_numpy()
    return [*hashes, f"ahead {hashlib.sha256(ahead.tobytes()).hexdigest()}"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What one process, this one, makes of each ranker."""
    folder = tmp_path_factory.mktemp("alone")
    found = {ranker: fingerprint(ranker, folder, n_jobs=1) for ranker in RANKERS}
    assert [file.name for file in folder.iterdir()] == [whoami()]
    return found


@pytest.mark.parametrize("ranker", RANKERS)
@pytest.mark.parametrize("n_jobs", [2, 4])
def test_processes_give_the_same_bytes(alone: dict[str, list[str]], tmp_path: Path, ranker: str, n_jobs: int) -> None:
    assert fingerprint(ranker, tmp_path, n_jobs) == alone[ranker], SEED


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_joblib_s_own_configuration_is_followed(alone: dict[str, list[str]], tmp_path: Path, backend: str) -> None:
    with joblib.parallel_config(backend=backend, n_jobs=2):
        assert fingerprint("table", tmp_path) == alone["table"], SEED
    workers = {file.name for file in tmp_path.iterdir()}
    assert workers and whoami() not in workers
    assert {name.split("-")[0] == str(os.getpid()) for name in workers} == {backend == "threading"}


def test_a_dask_cluster_gives_the_same_bytes(alone: dict[str, list[str]], tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install 'mlsys[dask]'")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        workers = {str(pid) for pid in client.run(os.getpid).values()}
        with joblib.parallel_config(backend="dask"):
            for ranker, expected in alone.items():
                assert fingerprint(ranker, tmp_path) == expected, (ranker, SEED)
    assert len(workers) == 2
    assert {file.name.split("-")[0] for file in tmp_path.iterdir()} == workers
