"""The main job, through the command line."""

import os
from pathlib import Path

import numpy as np
import pytest

from mlsys.cli import main
from mlsys.collection import read_log
from mlsys.config import SystemConfig
from mlsys.orchestration import SIMULATED_LOG, STEPS, run_system
from mlsys.world.noise import NoiseWorld
from mlsys.world.spoil import FAULTS, spoil

DATA = Path(__file__).parent / "data"


@pytest.fixture
def simulated(tmp_path: Path) -> Path:
    path = tmp_path / "events.csv"
    spoil(NoiseWorld(seed=9).events(5_000), each=20, seed=9).to_csv(path, index=False)
    return path


def test_every_row_is_accounted_for_from_the_file_to_the_test_set(simulated: Path) -> None:
    steps: list[str] = []
    run = run_system(read_log(simulated, SIMULATED_LOG), SystemConfig(), steps.append)
    assert tuple(steps) == STEPS
    funnel = list(run.funnel.values())
    assert funnel[0] == 5_000 + 20 * len(FAULTS) and funnel[1] == 5_000
    assert funnel[3] + len(run.report.quarantine) == funnel[2] == funnel[1]
    assert funnel[5] + funnel[6] + run.split.gap.sum() == funnel[4]


def test_the_score_plot_cuts_where_the_metrics_do(simulated: Path) -> None:
    run = run_system(read_log(simulated, SIMULATED_LOG), SystemConfig())
    said = run.scores[run.split.test] >= run.threshold
    assert run.metrics["recall"].value == pytest.approx(
        (said & (run.y[run.split.test] == 1)).sum() / (run.y[run.split.test]).sum()
    )


def test_leakage_claims_what_the_honest_join_does_not(simulated: Path) -> None:
    run = run_system(read_log(simulated, SIMULATED_LOG), SystemConfig())
    assert run.leaked.low > 0.85
    assert abs(run.honest.value - 0.5) < 0.09
    assert set(run.server.rungs) <= {"fresh", "defaults"}
    assert run.drift.set_index("column").loc["action", "status"] == "OK"


def test_a_real_log_goes_through_the_same_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, mapping = DATA / "impressions_200.csv", DATA / "impressions_200.toml"
    words = ["run", "--log", str(log), "--mapping", str(mapping), "--folder", str(tmp_path)]
    code = main([*words, "--set", "monitoring.min_rows=20"])
    said = capsys.readouterr().out
    assert code == 0, said
    assert "what leakage would have claimed" in said
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "What leakage would have claimed" in page and "://" not in page
    assert (tmp_path / "dead_letters.csv").exists()


def test_a_log_without_users_gets_features_of_posts_only(tmp_path: Path) -> None:
    log = NoiseWorld(seed=2, users=20, posts=20).events(2_000)
    log["action"] = np.where(log["action"] == "like", 1, 0)
    log[["post_id", "action", "event_time"]].to_csv(tmp_path / "log.csv", index=False)
    mapping = tmp_path / "log.toml"
    mapping.write_text(
        '[columns]\nevent_time = "event_time"\npost_id = "post_id"\naction = "action"\n'
        '[actions]\n"1" = "like"\n"0" = "view"\n',
        encoding="utf-8",
    )
    assert main(["run", "--log", str(tmp_path / "log.csv"), "--mapping", str(mapping), "--folder", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "--log", "x.csv"], "go together"),
        (["run", "--set", "serving.replicas"], "KEY=VALUE"),
        (["run", "--set", "serving.replica=3"], "did you mean"),
        (["run", "--log", "nowhere.csv", "--mapping", "nowhere.toml"], "nowhere.toml"),
        (["run", "--seed", "-1"], "--seed -1"),
    ],
)
def test_a_wrong_word_is_one_clear_error(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--folder", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert says in said and "do:" in said and "Traceback" not in said


def test_an_output_folder_that_cannot_be_is_one_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "report.html").mkdir()
    for folder in (tmp_path / "file", tmp_path / "file" / "below", tmp_path):
        assert main(["run", "--no-notebooks", "--folder", str(folder)]) == 2
        assert "do:" in capsys.readouterr().err


def test_a_null_spike_is_reported_by_verification_and_by_the_monitor(tmp_path: Path) -> None:
    events = NoiseWorld(seed=5).events(8_000)
    late = events.index > 5_600  # in the last days a client loses actions
    events["action"] = events["action"].where(~(late & (events.index % 2 == 0)))
    spoil(events, each=10, seed=5).to_csv(tmp_path / "log.csv", index=False)
    run = run_system(read_log(tmp_path / "log.csv", SIMULATED_LOG), SystemConfig())
    assert "not_null(action)" in run.report.failures["check"].tolist() and not run.report.passed
    assert run.drift.set_index("column").loc["action", "status"] == "DRIFT"
    assert run.drift.set_index("column").loc["user:like_rate", "status"] == "OK"


def test_of_a_long_log_the_last_events_are_used_and_it_says_so(
    simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = ("event_id", "user_id", "post_id", "action", "event_time", "arrival_time")
    lines = ["[columns]", *(f'{name} = "{name}"' for name in columns), "[actions]"]
    lines += [f'{name} = "{name}"' for name in ("like", "dislike", "view", "share")]
    mapping = tmp_path / "log.toml"
    mapping.write_text("\n".join(lines), encoding="utf-8")
    words = ["run", "--log", str(simulated), "--mapping", str(mapping), "--folder", str(tmp_path)]
    assert main([*words, "--max-events", "4000"]) == 0
    said = capsys.readouterr().out
    assert "the last 4,000 of 5,000 events" in said


def test_settings_change_the_run(simulated: Path) -> None:
    def trained(**changes: float) -> int:
        overrides = {name.replace("__", "."): value for name, value in changes.items()}
        run = run_system(read_log(simulated, SIMULATED_LOG), SystemConfig.load(overrides=overrides))
        return run.funnel["trained on"]

    assert trained(training__lookback_days=3) < 0.3 * trained()
    assert trained(training__test_share=0.5) < trained()


def test_open_bandit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Real impressions of a fashion feed (Saito et al., arXiv:2008.07146); not part of the product."""
    folder = Path(os.environ.get("MLSYS_OPEN_BANDIT", Path(__file__).parents[2] / "shared/data/open_bandit"))
    if not folder.exists():
        pytest.skip("the Open Bandit sample is not here: set MLSYS_OPEN_BANDIT to its folder")
    for policy in ("random", "bts"):
        log = folder / policy / "women.csv.gz"
        words = ["run", "--log", str(log), "--mapping", str(DATA / "open_bandit.toml"), "--folder", str(tmp_path)]
        assert main(words) == 0
        said = capsys.readouterr().out
        assert "10,000" in said and "what leakage would have claimed" in said


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert "python start.py run --log clicks.csv" in capsys.readouterr().out
