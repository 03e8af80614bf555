"""Plans follow the measured costs; settings are typed, versioned and comparable."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsys.capacity import UNIT_COSTS, carried, plan, unit_costs
from mlsys.cli import main
from mlsys.cli.validate import validate
from mlsys.config import ConfigError, ServingConfig, SystemConfig
from mlsys.core import MlsysError


def test_a_plan_follows_the_committed_costs(tmp_path: Path) -> None:
    document = json.loads(UNIT_COSTS.read_text(encoding="utf-8"))
    document["costs"]["rank_500_us"] *= 3
    changed = tmp_path / "costs.json"
    changed.write_text(json.dumps(document), encoding="utf-8")
    before, after = plan([1e6]), plan([1e6], unit_costs(changed))
    assert (after["cores"] / before["cores"]).tolist() == pytest.approx([3, 3, 3])
    assert (after["online_gb"] == before["online_gb"]).all()


def test_a_plan_by_hand() -> None:
    costs = {"rank_500_us": 200.0, "event_bytes": 41.0, "online_row_bytes": 24.0}
    mid = plan([1e6], costs).query("case == 'mid'").iloc[0]
    qps = 1e6 * 0.6 * 6 * 5 / 86_400 * 2
    assert mid["requests_per_second"] == pytest.approx(qps)
    assert mid["cores"] == pytest.approx(qps * 200e-6 / 0.5)
    assert mid["log_gb_per_day"] == pytest.approx(1e6 * 0.6 * 6 * 5 * 10 * 41 / 1e9)
    assert mid["online_gb"] == pytest.approx(1e6 * 6 * 24 / 1e9)


@given(st.floats(1, 1e10), st.floats(1.01, 100))
def test_plans_are_linear_in_users_and_ordered(users: float, factor: float) -> None:
    costs = {"rank_500_us": 200.0, "event_bytes": 41.0, "online_row_bytes": 24.0}
    small, large = plan([users], costs), plan([users * factor], costs)
    for column in ("requests_per_second", "cores", "online_gb", "log_gb_per_day"):
        assert (large[column] / small[column]).to_numpy() == pytest.approx(factor)
        assert small[column].is_monotonic_increasing


def test_missing_costs_say_how_to_measure(tmp_path: Path) -> None:
    with pytest.raises(MlsysError, match="calibrate"):
        unit_costs(tmp_path / "none.json")


def test_calibration_keeps_what_is_there_and_adds_what_lacks(tmp_path: Path) -> None:
    document = json.loads(UNIT_COSTS.read_text(encoding="utf-8"))
    gone = document["costs"].pop("retrieve_1000_us")
    document["costs"]["rank_500_us"] = 1.0
    file = tmp_path / "costs.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    assert main(["calibrate", "--missing", "--repeat", "1", "--output", str(file)]) == 0
    found = unit_costs(file)
    assert found.pop("retrieve_1000_us") > 0 < gone
    assert found == {name: float(cost) for name, cost in document["costs"].items()}
    assert found.keys() | {"retrieve_1000_us"} == unit_costs().keys()


def test_file_then_environment_then_overrides(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        'flags = ["serve_popularity"]\n[serving]\nreplicas = 3\ncandidates = 100\nmax_latency_ms = 40\n',
        encoding="utf-8",
    )
    environ = {"MLSYS_SERVING__REPLICAS": "4", "MLSYS_SERVING__CANDIDATES": "200", "MLSYS_VENV": "elsewhere"}
    config = SystemConfig.load(file, environ=environ, overrides={"serving.replicas": 5})
    assert (config.serving.replicas, config.serving.candidates, config.serving.max_latency_ms) == (
        5,
        200,
        40.0,
    )
    assert config.flags == ("serve_popularity",)
    assert SystemConfig.load(environ={"MLSYS_FLAGS": "serve_popularity"}).flags == config.flags
    assert set(SystemConfig().diff(config)) == {
        "serving.replicas", "serving.candidates", "serving.max_latency_ms", "flags",
    }  # fmt: skip


def test_equal_settings_equal_version() -> None:
    assert SystemConfig.load(overrides={"serving.replicas": 10}).version == SystemConfig().version
    assert SystemConfig.load(overrides={"serving.replicas": 11}).version != SystemConfig().version


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("serving.replica", 3, "did you mean 'serving.replicas'"),
        ("replicas", 3, "settings:|did you mean"),
        ("serving.replicas", 0, "above 0"),
        ("serving.replicas", "many", "int"),
        ("serving.replicas", 2.5, "int"),
        ("serving.replicas", True, "int"),
        ("training.test_share", 1.5, "between 0 and 1"),
        ("features.ttl_days", -1, "0 or more"),
        ("model.name", 7, "str"),
        ("flags", ["serve_popularty"], "among serve_popularity"),
        ("flags", ["serve_popularity=1.5"], "with a share"),
        ("flags", ["serve_popularity=some"], "with a share"),
        ("features.window_days", "inf", "float"),
    ],
)
def test_a_bad_setting_is_refused_with_an_example(key: str, value: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        SystemConfig.load(overrides={key: value})


def test_a_mistyped_variable_is_refused_not_ignored() -> None:
    with pytest.raises(ConfigError, match=r"serving_replicas"):
        SystemConfig.load(environ={"MLSYS_SERVING_REPLICAS": "0"})


def test_equal_values_of_another_type_are_the_same_setting() -> None:
    same = SystemConfig(serving=ServingConfig(max_latency_ms=50))
    assert same == SystemConfig() and same.version == SystemConfig().version


def test_replicas_carry_what_the_plan_needs() -> None:
    costs = {"rank_500_us": 200.0, "event_bytes": 41.0, "online_row_bytes": 24.0}
    assert carried(10, costs) == {"requests_per_second": pytest.approx(25_000), "rank_ms": pytest.approx(0.2)}
    mid = plan([1e9], costs, candidates=250).query("case == 'mid'").iloc[0]
    assert carried(1, costs, candidates=250)["requests_per_second"] * mid["cores"] == pytest.approx(
        mid["requests_per_second"]
    )


def test_a_broken_file_is_one_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("replicas = = 3", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot read"):
        SystemConfig.load(file)


def test_unit_costs_are_checked_at_another_scale() -> None:
    costs = unit_costs()
    table = validate(costs, (150, 300), rounds=1)
    assert table.groupby("users").size().tolist() == [5, 5] and (table["ratio"] > 0).all()
    np.testing.assert_allclose(table["ratio"], table["measured"] / table["predicted"])
    twice = validate({**costs, "event_bytes": 2 * costs["event_bytes"]}, (150,), rounds=1).set_index("part")
    once = table[table["users"] == 150].set_index("part")
    assert twice.loc["log on disk", "predicted"] == 2 * once.loc["log on disk", "predicted"]
    assert twice.loc["log on disk", "measured"] == once.loc["log on disk", "measured"]
