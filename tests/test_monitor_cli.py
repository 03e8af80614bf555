"""`mlsys monitor`: what a person sees of it, and the metrics file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlsys.cli import main
from mlsys.monitoring import ModelMonitor
from mlsys.monitoring.daily import RULES, DailyMonitor, Day
from mlsys.monitoring.exposition import exposition


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    usual = pd.DataFrame({"age": rng.exponential(size=900), "device": rng.choice(["iOS", "Web"], 900), "old": 1})
    new = usual.head(400).assign(age=usual["age"] * 3, new=2).drop(columns="old")
    paths = tmp_path / "usual.csv", tmp_path / "today.csv"
    for frame, path in zip((usual, new), paths, strict=True):
        frame.to_csv(path, index=False)
    return paths


def test_a_report_names_what_drifts_and_what_is_in_one_file_only(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "out" / "drift.html"
    assert main(["monitor", "report", *map(str, files), "--out", str(page)]) == 0
    said = capsys.readouterr().out
    status = {line.split()[0]: line.split()[-1] for line in said.splitlines()[1:3]}
    assert status == {"age": "DRIFT", "device": "OK"} and "in one file only: new, old" in said
    text = page.read_text("utf-8")
    assert "today.csv against usual.csv" in text and "data:image/png" in text


def test_files_that_cannot_be_compared_are_refused(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, broken = tmp_path / "other.csv", tmp_path / "broken.csv"
    other.write_text("x,y\n1,2\n", "utf-8")
    broken.write_bytes(b"\xff\xfe\x00")
    for second, said in ((other, "no column in common"), (broken, "no CSV table"), (tmp_path / "no.csv", "no.csv")):
        assert main(["monitor", "report", str(files[0]), str(second)]) == 2
        assert said in capsys.readouterr().err


def test_a_grade_goes_on_where_it_was_and_says_who_was_missed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["monitor", "grade", "--first-seed", "3", "--seeds", "1", "--users", "150", "--kinds", "store_outage"]
    assert main([*words, "--folder", str(tmp_path)]) == 0
    first = capsys.readouterr().out
    assert "store_outage" in first and "missed: none" in first and "naive: a tenth" in first
    monkeypatch.setattr("mlsys.cli.monitor.corpus", lambda *_, **__: pytest.fail("simulated twice"))
    assert main([*words, "--folder", str(tmp_path)]) == 0
    assert capsys.readouterr().out == first
    assert (tmp_path / "grade.html").read_text("utf-8").count("data:image/png") == 2
    for wrong, said in ((["--kinds", "flood"], "flood"), (["--users", "5"], "a hundred users")):
        assert main([*words[:4], *wrong, "--folder", str(tmp_path)]) == 2
        assert said in capsys.readouterr().err


def test_rules_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monitor", "rules"]) == 0
    said = capsys.readouterr().out
    assert all(rule.name in said for rule in RULES)


def test_the_metrics_file_parses_and_says_what_the_monitor_said() -> None:
    monitor, rng = DailyMonitor(), np.random.default_rng(0)

    def day(shift: float = 0.0) -> Day:
        signals = {"likes per session": 2.0, "AUC": 0.7, "feature age, hours": 24.0 * shift, "likes over promised": 0.9}
        return Day(signals, pd.DataFrame({"a": rng.normal(shift, 1, 500)}))

    for _ in range(8):
        monitor.observe(day())
    text = exposition(monitor, monitor.observe(day(1.0)), {"accepted": 5, "late": 2}).decode()
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["mlsys_feature_drifted", "a"] == 1 and samples["mlsys_feature_psi", "a"] > 0.3
    assert samples["mlsys_alert_active", "drift", "page"] == 1 == samples["mlsys_alert_active", "freshness", "page"]
    assert samples["mlsys_alert_active", "AUC", "page"] == 0
    assert samples["mlsys_features_age_seconds",] == 86_400 and samples["mlsys_log_events_total", "late"] == 2
    assert samples["mlsys_calibration_error",] == pytest.approx(-0.1)
    assert samples["mlsys_likes_per_session_expected",] == 2.0


def test_bins_are_named_for_people() -> None:
    monitor = ModelMonitor(pd.DataFrame({"x": [0.0] * 85 + [1.0] * 70 + [2.0] * 45, "kind": list("ab") * 100}))
    window = monitor.window()
    window.observe(pd.DataFrame({"x": [0.0, np.nan], "kind": ["a", "c"]}))
    assert window.bins("x").index.tolist() == ["< 0", "= 0", "> 0", "= 1", "> 1", "= 2", "> 2", "missing"]
    assert window.bins("x")["current"].tolist() == [0, 0.5, 0, 0, 0, 0, 0, 0.5]
    assert window.bins("kind")["current"].to_dict() == {"a": 0.5, "b": 0, "others": 0.5, "missing": 0}
    assert window.bins("x")["reference"].sum() == pytest.approx(1)
