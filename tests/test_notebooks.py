"""Every committed notebook: its structure, and its conclusions under other parameters and another seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import papermill
import pytest
from nbformat import NotebookNode

from mlsys.lesson.build import from_bytes
from mlsys.lesson.check import check, compared
from mlsys.lesson.run import kernel_environment, read_source, results

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SOURCES = sorted((FOLDER / "_source").glob("*.py"))

PARAMETERS: dict[str, dict[str, dict[str, Any]]] = {
    "01_introduction": {
        "small": {"CURVE": [1_000, 30_000], "EVENTS": 6_000, "CONTRAST_SEEDS": 5},
        "few events": {"CURVE": [1_000, 30_000], "EVENTS": 3_000},
        "many events": {"CURVE": [1_000, 30_000], "EVENTS": 100_000},
        "second seed": {"SEED": 11},
    },
    "02_clarifying_requirements": {
        "small": {"USERS": 600, "CONTRAST_SEEDS": 5},
        "second seed": {"SEED": 7, "CONTRAST_SEEDS": 5},
    },
    "03_framing": {
        "small": {"USERS": 500, "LOSS_SEEDS": 2, "CONTRAST_SEEDS": 8},
        "second seed": {"SEED": 40, "LOSS_SEEDS": 3, "CONTRAST_SEEDS": 10},
    },
    "04_data_preparation": {
        "small": {"USERS": 500, "CONTRAST_SEEDS": 8},
        "second seed": {"SEED": 7, "CONTRAST_SEEDS": 8},
    },
    "05_model_development": {
        "small": {"USERS": 350, "LOG_SEEDS": 2, "SEARCH_SEEDS": 3, "CONTRAST_SEEDS": 6},
        "second seed": {"SEED": 7, "CONTRAST_SEEDS": 8},
    },
    "06_evaluation": {
        "small": {"USERS": 500, "SAMPLES": 150, "CONTRAST_SEEDS": 5},
        "second seed": {"SEED": 7, "CONTRAST_SEEDS": 8},
    },
    "07_serving": {
        "small": {"USERS": 500, "CROWD": 1_000, "ASKED": 100, "CONTRAST_SEEDS": 3},
        "second seed": {"SEED": 7, "CONTRAST_SEEDS": 8},
    },
}
"""Per notebook, the runs in which every claim must hold as well."""

TOLERANCES: dict[str, dict[str, float]] = {
    "01_introduction": {
        "ml_share_percent": 0,
        "bad_kept_percent": 5,
        "rows_dead": 0,
        "naive_auc": 0.03,
        "naive_f1": 0.08,
        "leak_small_log": 0.02,
        "leak_large_log": 0.02,
        "fixed_auc": 0.015,
        "f1_half": 0.001,
        "f1_tuned": 0.04,
        "naive_rank_ms": 0,
        "e5_false": 0.06,
        "e6_false": 0.03,
        "e5_caught": 0.06,
        "e6_caught": 0.08,
        "reversal": 0.3,
        "cores_100m": 0,
        "leaky_auc": 0.06,
        "ceiling_auc": 0.02,
        "linear_auc": 0.03,
        "trees_auc": 0.03,
        "random_share": 0.04,
        "popularity_share": 0.06,
        "linear_share": 0.05,
        "trees_share": 0.04,
        "first_day": 6,
    },
    "02_clarifying_requirements": {
        "day_1": 0.04,
        "day_30": 0.15,
        "turning_day": 1.5,
        "reads_break": 0,
        "saved_cores": 0,
        "hourly_gain": 2.5,
        "batch_loss": 4,
        "views_loss": 5,
        "nulls_change": 2,
        "position_shuffled": 0.02,
        "lift_left": 0.12,
        "ids_price": 5,
        "device_price": 4,
        "cores_lost": 6,
        "stack_lost": 6,
        "worth_asking": 3,
        "joint_loss": 0.08,
        "objective_lost": 0.1,
        "contrast_1": 0.03,
        "contrast_30": 0.1,
        "contrast_even": 1.5,
    },
    "03_framing": {
        "accuracy_gain": 1.5,
        "oracle_lift": 0.3,
        "zero_unseen": 0.03,
        "null_unseen": 0.05,
        "null_promise": 0.03,
        "listwise_gain": 1.5,
        "trees_gain": 3,
        "pushed": 0.06,
        "point_mean": 0.03,
        "promise": 0.6,
        "got_price": 1.5,
        "moved_likes": 0.15,
        "returns_auc": 0.09,
        "returns_share": 0.1,
        "random_share": 0.03,
        "best_price": 10,
        "best_month": 0.25,
        "early_lead": 3,
        "late_lead": 3,
        "recency_first": 0.02,
        "popularity_first": 0.02,
        "likes_early": 0.12,
        "value_early": 0.25,
        "value_late": 0.1,
        "cores_fast": 0,
        "all_ms": 0,
    },
    "04_data_preparation": {
        "committed_first": 0.1,
        "committed_last": 0.1,
        "missing_share": 0.04,
        "bias_day": 0.01,
        "share_nine": 0.06,
        "position_gain": 0.15,
        "slot_ten": 0.001,
        "quiet_lost": 0.05,
        "held_lost": 0.03,
        "dropped": 0.06,
        "drop_new": 0.15,
        "keep_share": 0.06,
        "few_value": 0.12,
        "random_gap": 0.04,
        "leak_time": 0.08,
        "ttl_late": 0.06,
        "late_change": 0.03,
        "event_offline": 0.06,
        "window_gain": 0.04,
        "second_differ": 0.06,
        "unit_linear": 0.15,
        "e5_calm": 0.03,
        "e6_shifted": 0.04,
    },
    "05_model_development": {
        "more_trees": 3,
        "slow_trees": 2,
        "linear_behind": 5,
        "ms_240": 0,
        "cores_30": 0,
        "rank_all": 3,
        "share_50": 0.06,
        "share_vote": 0.06,
        "ms_50": 0,
        "position_gain": 5,
        "explore_cost": 1.5,
        "explore_buys": 4,
        "random_cost": 6,
        "ratio_random": 0.06,
        "all_promise": 6,
        "all_kept": 7,
        "gain_promised": 0.015,
        "gain_true": 0.015,
        "calm_three": 2,
        "late_three": 3,
        "late_warm": 3,
        "one_core": 0,
        "speedup_64": 0,
        "e5_auc": 0.02,
        "e6_auc": 0.02,
        "first_day": 0.05,
        "locked": 0.05,
    },
    "06_evaluation": {
        "dice_share": 0.04,
        "linear_share": 0.05,
        "ndcg_logged": 0.04,
        "auc_logged": 0.03,
        "auc_who": 0.03,
        "share_trees": 0.03,
        "agree_slot": 0.1,
        "f1_trees": 0.03,
        "cost_paid": 0.06,
        "cost_wrong": 0.06,
        "held_rows": 0.09,
        "held_users": 0.04,
        "alarms_rows": 0.09,
        "wider": 0.25,
        "placebo_naive": 3,
        "auc_first": 0.03,
        "gap_first": 0.03,
        "gap_known": 0.03,
        "volunteers_gain": 0.09,
        "volunteers_true": 0.05,
        "agree_off": 0.25,
        "dr_off": 0.14,
        "logged_off": 0.08,
        "ess_pooled": 300,
        "cost_much": 0.02,
        "need_user": 5000,
        "need_cuped": 700,
        "cuped_explains": 0.08,
        "power_user": 0.07,
        "lost_few": 0.04,
        "lost_few_srm": 0.03,
        "lost_many_srm": 0.15,
        "peek": 0.06,
        "peek_plain": 0.04,
        "peek_valid": 0.01,
        "valid_half": 0.18,
        "over_first": 0.35,
        "user_off": 0.18,
        "market_spread": 0.2,
        "value_truth": 0.25,
        "value_off": 0.12,
        "value_session": 0.1,
        "like_truth": 0.12,
        "newest_week": 0.08,
        "popular_lost": 0.1,
        "turns_at": 0.03,
        "e5_end": 0.1,
        "e6_end": 0.12,
        "e5_gain": 0.05,
        "e6_gain": 0.05,
        "c5_gain": 0.03,
        "c6_gain": 0.03,
    },
    "07_serving": {
        "list_lost": 2.5,
        "failed_lost": 4,
        "hybrid_lost": 1.5,
        "cores_online": 0,
        "model_part": 0,
        "touched": 0.006,
        "kept_user": 0.12,
        "hits_list": 0.01,
        "int8_speed": 0,
        "int8_points": 0.8,
        "short_points": 2,
        "linear_points": 5,
        "one_load": 0.08,
        "queue_load": 0.03,
        "cores_cache": 3,
        "kept_popular": 0.09,
        "kept_defaults": 0.08,
        "kept_copy": 0.03,
        "kept_lie": 0.1,
        "slow_lost": 0.25,
        "slow_saved": 0.2,
        "all_lost": 13,
        "canary_lost": 2,
        "e5_gone": 0.03,
        "e6_gone": 0.01,
        "e5_off": 0.03,
        "e6_off": 0.05,
    },
}
"""Per notebook, how far a result of the second seed may be from the committed one (absolute)."""


def test_every_source_is_built_and_every_notebook_has_runs() -> None:
    assert NOTEBOOKS, "no notebooks: mlsys notebook build"
    names = [path.stem for path in NOTEBOOKS]
    assert names == [path.stem for path in SOURCES]
    assert names == sorted(PARAMETERS) == sorted(TOLERANCES)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_has_every_part_and_is_its_source(path: Path) -> None:
    source = FOLDER / "_source" / f"{path.stem}.py"
    problems = check(source, path)
    same, total = compared(read_source(source))
    print(f"{path.stem}: nbval compares {same} of {total} code cells ({same / total:.0%})")
    assert not problems, "\n".join(map(str, problems))


@pytest.mark.parametrize(("name", "run"), [(name, run) for name in PARAMETERS for run in PARAMETERS[name]])
def test_claims_hold_under_other_parameters(
    name: str, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = FOLDER / f"{name}.ipynb"
    parameters = PARAMETERS[name][run]
    unknown = set(parameters) - set(papermill.inspect_notebook(str(committed)))
    assert not unknown, f"papermill would accept these names silently and change nothing: {unknown}"
    executed = execute(committed, parameters, tmp_path / f"{name}.ipynb", monkeypatch)
    expected, found = results(from_bytes(committed.read_bytes())), results(executed)
    assert found.keys() == expected.keys(), "a run emits the same results, whatever its parameters"
    if run != "second seed":
        return
    assert TOLERANCES[name].keys() <= expected.keys()
    for result, tolerance in TOLERANCES[name].items():
        assert found[result] == pytest.approx(expected[result], abs=tolerance), result


def execute(notebook: Path, parameters: dict[str, Any], output: Path, monkeypatch: pytest.MonkeyPatch) -> NotebookNode:
    """Run a notebook as papermill users do, in the environment that the builder uses."""
    for variable in ("MLSYS_LAB", "MPLBACKEND"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in kernel_environment().items():
        monkeypatch.setenv(variable, value)
    return papermill.execute_notebook(
        str(notebook), str(output), parameters, kernel_name="python3", cwd=str(FOLDER), progress_bar=False
    )
