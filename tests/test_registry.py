"""One contract for every model registry: our SQLite file, and a real MLflow where it is installed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlsys.core import MlsysError
from mlsys.training import LinearModel, TreeModel
from mlsys.training.registry import ArtifactError, Registry, RegistryUnavailable
from mlsys.training.runs import ModelRegistry
from mlsys.training.tuning import Settings, random_search

Make = Callable[[], ModelRegistry]
NO_MLFLOW = pytest.mark.skipif(
    find_spec("mlflow") is None, reason="MLflow is not installed: pip install mlflow, into an environment of its own"
)


@pytest.fixture(params=["sqlite", pytest.param("mlflow", marks=NO_MLFLOW)])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Opens the same registry again at every call."""
    if request.param == "sqlite":
        return lambda: Registry(tmp_path / "models.db", name="feed")
    from mlsys.integrations.mlflow import MlflowRegistry

    return lambda: MlflowRegistry(f"sqlite:///{tmp_path / 'mlflow.db'}", name="feed", artifacts=tmp_path / "artifacts")


def trained(version: str, seed: int = 13) -> tuple[LinearModel, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(200, 3)).astype(np.float32), columns=["a", "b", "c"])
    return LinearModel.fit(X, (rng.random(200) < 0.3).astype(float), version=version), X


def test_a_run_its_model_and_an_alias_are_there_for_whoever_opens_it_next(make: Make) -> None:
    registry, (model, X) = make(), trained("monday")
    with registry.start_run({"rows": 200}) as run:
        registry.log_metric(run, "auc", 0.61)
        registry.log_metric(run, "auc", 0.71)
        tags = {"dataset": "events@7", "feature_versions": '{"user": 2}', "data_hash": "abc"}
        made = registry.register_model(model, "feed", run_id=run, tags=tags)
    registry.set_registered_model_alias("feed", "champion", made.version)
    again = make()
    found = again.get_model_version_by_alias("feed", "champion")
    assert (found.version, found.run_id, found.aliases) == (1, run, ("champion",))
    assert found.tags.items() >= tags.items() and '"a"' in found.tags["signature"]
    ended = again.get_run(run)
    assert (ended.status, ended.params, ended.metrics) == ("FINISHED", {"rows": "200"}, {"auc": 0.71})
    served = again.load_model("models:/feed@champion")
    assert served.version == "monday" and served.signature == model.signature
    np.testing.assert_array_equal(served.predict(X), model.predict(X))


def test_promotion_and_rollback_move_an_alias_and_lose_no_version(make: Make) -> None:
    registry = make()
    for day in ("monday", "tuesday"):
        registry.register(trained(day)[0], auc=0.7)
        registry.set_alias("champion", day)
    assert registry.get("champion").version == "tuesday"
    registry.set_alias("champion", "monday")
    assert make().get("champion").version == "monday" and list(registry.models) == ["monday", "tuesday"]
    assert [one.version for one in registry.search_model_versions("name = 'feed'")] == [2, 1]
    registry.delete_registered_model_alias("feed", "champion")
    with pytest.raises(MlsysError):
        registry.load_model("models:/feed@champion")
    assert registry.load_model("models:/feed/2").version == "tuesday"


def test_trees_come_back_and_score_alike(make: Make) -> None:
    X = trained("x")[1]
    model = TreeModel.fit(X, (X["a"] > 0).to_numpy(float), max_iter=5, version="trees")
    make().register(model)
    np.testing.assert_array_equal(make().load_model("models:/feed/1").predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda r: r.load_model("feed"), "names no model"),
        (lambda r: r.load_model("models:/feed/9"), ""),
        (lambda r: r.set_registered_model_alias("feed", "v1", 1), "no alias"),
        (lambda r: r.register(trained("monday")[0]), "is taken"),
        (lambda r: [r.log_param(r.models["monday"].run_id, "rows", n) for n in (1, 2)], "rows"),
        (lambda r: r.get_run("9999"), ""),
        (lambda r: r.set_alias("champion", "friday"), "registered: monday"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_words(
    make: Make, ask: Callable[[ModelRegistry], object], words: str
) -> None:
    registry = make()
    registry.register(trained("monday")[0])
    with pytest.raises(MlsysError, match=words or None):
        ask(registry)


def test_a_run_that_raises_is_failed(make: Make) -> None:
    registry, ids = make(), []
    with pytest.raises(ZeroDivisionError), registry.start_run() as run:
        ids.append(run)
        raise ZeroDivisionError
    assert make().get_run(ids[0]).status == "FAILED"


def test_every_trial_of_a_search_is_a_run(make: Make) -> None:
    registry, ids = make(), []

    def evaluate(settings: Settings) -> dict[str, float]:
        if settings["kind"] == "bad":
            raise MlsysError("no such kind", why="it is bad", fix="leave it out")
        return {"auc": float(str(settings["rate"]))}

    space = {"rate": (0.1, 0.9), "kind": ["good", "bad"]}
    found = random_search(evaluate, space, trials=6, on_trial=lambda *one: ids.append(registry.log_trial(*one)))
    runs = [make().get_run(run_id) for run_id in ids]
    assert [one.status == "FAILED" for one in runs] == found["failed"].notna().tolist() != [False] * 6
    assert [one.params["kind"] for one in runs] == found["kind"].tolist()
    assert [one.metrics.get("auc") for one in runs if one.metrics] == found["auc"].dropna().tolist()


def test_a_damaged_artifact_is_an_error_and_the_champion_stays(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models.db", name="feed")
    for day in ("monday", "tuesday"):
        registry.register(trained(day)[0])
    registry.set_alias("champion", "monday")
    with sqlite3.connect(tmp_path / "models.db") as file:
        (whole,) = file.execute("select artifact from versions where version = 2").fetchone()
        for broken in (whole[:-1], b"", whole[:60] + bytes([whole[60] ^ 1]) + whole[61:]):
            file.execute("update versions set artifact = ? where version = 2", (broken,))
            file.commit()
            other = Registry(tmp_path / "models.db", name="feed")
            with pytest.raises(ArtifactError, match="damaged"):
                other.set_alias("champion", "tuesday")
            assert other.get("champion").version == "monday"
    file.close()


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "models.db").write_bytes(b"not a database, but long enough to look at" * 40)
    with pytest.raises(RegistryUnavailable, match=r"models\.db"):
        Registry(tmp_path / "models.db")


WRITER = """
import sys
import numpy as np
from mlsys.training import LinearModel, Signature
from mlsys.training.registry import Registry

registry = Registry(sys.argv[1], name="feed")
print("open", flush=True)
while True:
    n = len(registry.models) + 1
    model = LinearModel(f"night {n}", Signature(("a",), (0.0,)), np.array([float(n)]), 0.0)
    registry.register(model, auc=0.7)
    registry.set_alias("champion", model.version)
    print(n, flush=True)
"""


def test_a_killed_writer_leaves_a_whole_champion(tmp_path: Path) -> None:
    rng, path, said = np.random.default_rng(), tmp_path / "models.db", 0
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONUNBUFFERED": ""}
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, env=environ
        )
        with writer:
            assert writer.stdout is not None and writer.stdout.readline() == "open\n"
            for _ in range(int(rng.integers(1, 4))):
                said = int(writer.stdout.readline())
            writer.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
            rest = writer.stdout.read().split()
            said = int(rest[-1]) if rest else said
        registry = Registry(path, name="feed")
        champion = registry.load_model("models:/feed@champion")
        assert int(champion.version.split()[1]) >= said == int(registry.models[f"night {said}"].version)
        assert len(registry.models) in (said, said + 1)
        registry.close()
