"""Notebooks bite: with a one-line fault in the package, a notebook fails.

Without a fault they pass with the same parameters: those are the small runs of `test_notebooks.py`.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_notebooks import PARAMETERS

ROOT = Path(__file__).resolve().parents[1]
FAULTS = {
    "01_introduction": {
        "leak on: a row sees its entity's whole history": (
            "features/timeline.py",
            "stop[order] = np.searchsorted(self._key, key[order])",
            "stop = np.append(self._first, len(self.time))[code + 1]",
            "AUC is chance",
        ),
        "TTL off: expired values are served": (
            "features/store.py",
            "(old := age > view.ttl_days * 86_400).any()",
            "(old := age > 1e12).any()",
            "expired values are withheld",
        ),
        "feature order swapped: the server asks in another order": (
            "serving/server.py",
            "get_online_features(model.signature.features,",
            "get_online_features(model.signature.features[::-1],",
            "the served score is the trained model's score",
        ),
        "duplicates pass: an event id is never remembered": (
            "collection/coding.py",
            'self._fault[rows[self._seen.repeats(keys)]] = self._reason("event_id was seen before")',
            "self._seen.repeats(keys)",
            "exactly the true rows",
        ),
        "the ladder has no popularity rung": (
            "serving/server.py",
            "except StoreUnavailable:",
            "except ZeroDivisionError:",
            "does not answer",
        ),
        "clickbait is enjoyed: nobody regrets a like": (
            "world/parameters.py",
            '"clickbait": -1.5}',
            '"clickbait": 1.5}',
            "loses the month",
        ),
        "the feed shows the worst first": (
            "world/sessions.py",
            "return np.asarray(columns - 1 - (top[:, ::-1]",
            "return np.asarray(columns - 1 - (np.sort(keys, axis=1)[:, :k]",
            "random < popularity < linear < trees < oracle",
        ),
        "significance ignored: every large move pages": (
            "monitoring/policy.py",
            "if self.rate is not None:",
            "if False:",
            "removes most false alarms",
        ),
    },
    "02_clarifying_requirements": {
        "a dislike is worth three likes: the value function is turned round": (
            "world/rankers.py",
            '"dislike": -3.0}',
            '"dislike": 3.0}',
            "behind in likes after the month",
        ),
        "the plan forgets the candidates: one read per request": (
            "capacity.py",
            '"store_reads_per_second": qps * (1 + candidates),',
            '"store_reads_per_second": qps,',
            "breaks first",
        ),
        "forbidden features are used all the same": (
            "orchestration/requirements.py",
            "if not _names(design.without, ref)]]",
            "]]",
            "no ids cost likes",
        ),
        "no position bias: every slot is looked at": (
            "world/behaviour.py",
            "** (-p.attention * p.signal)",
            "** (-0.0 * p.signal)",
            "positions are worth more",
        ),
    },
    "03_framing": {
        "a model forgets its intercept: scores are no probabilities": (
            "training/models.py",
            "expit(filled @ self.weights + self.intercept)",
            "expit(filled @ self.weights)",
            "a pointwise model promises what happens",
        ),
        "prices are ignored: the value function is a plain sum": (
            "training/models.py",
            "out += weight * self.heads[action]",
            "out += self.heads[action]",
            "the same prices on pairwise heads make another feed",
        ),
        "oldest first is served as newest first": (
            "world/rankers.py",
            'return TableRanker("recency", created / 3_600e6)',
            'return TableRanker("recency", -created / 3_600e6)',
            "after two days the model is not ahead",
        ),
        "who returns is read off the same day": (
            "orchestration/framing.py",
            'returns"] = came[seen["user_id"], seen["day"] + 1]',
            'returns"] = came[seen["user_id"], seen["day"]] & (seen["action"] == "like")',
            "the label with the best AUC is the return",
        ),
    },
    "04_data_preparation": {
        "ids are not remembered: a repeat is a new event": (
            "collection/stream.py",
            "again = pd.Series(ids[good]).duplicated().to_numpy() | np.isin(ids[good], self._ids)",
            "again = pd.Series(ids[good]).duplicated().to_numpy()",
            "every event comes out once",
        ),
        "a unit may change": (
            "collection/schema.py",
            "if old.unit != new.unit:",
            "if False:",
            "a change of unit is refused at the door",
        ),
        "the repair of a sampled head has the wrong sign": (
            "training/calibration.py",
            "expit(_odds(p) + np.log(kept))",
            "expit(_odds(p) - np.log(kept))",
            "the formula brings back both",
        ),
    },
    "05_model_development": {
        "settings are ignored: every model has sixty trees": (
            "training/models.py",
            'settings = {**usual, "early_stopping": False, **settings}',
            'settings = {**usual, "early_stopping": False}',
            "the largest model is behind a smaller one",
        ),
        "retrieval hands on the worst": (
            "training/retrieval.py",
            'return np.argsort(-scores, axis=1, kind="stable")[:, :k]',
            'return np.argsort(scores, axis=1, kind="stable")[:, :k]',
            "ranking all is worse than ranking the best 50",
        ),
        "re-ranking rewards more of the same": (
            "training/reranking.py",
            "worth -= penalty * (topic == topic[row, best][:, None])",
            "worth += penalty * (topic == topic[row, best][:, None])",
            "variety is paid in likes",
        ),
    },
    "06_evaluation": {
        "propensity ignored: every logged row counts alike": (
            "evaluation/offpolicy.py",
            "return np.asarray(self.target / np.asarray(self.pscore, np.float64))",
            "return np.ones(len(self.target))",
            "doubly robust comes much nearer",
        ),
        "clusters are forgotten: rows are independent": (
            "evaluation/intervals.py",
            "sums = influence if cluster is None else np.bincount(codes, weights=influence, minlength=clusters)",
            "sums = influence",
            "by users, nearly that many",
        ),
        "no split is ever refused": (
            "evaluation/experiment.py",
            "MISMATCH = 0.001",
            "MISMATCH = 0.0",
            "a tenth lost: the sample ratio often stops it",
        ),
    },
    "07_serving": {
        "an open breaker lets every call through": (
            "serving/resilience.py",
            'if self._state == "OPEN" or (self._state == "HALF_OPEN" and self._probes >= self.permitted):',
            "if False:",
            "a breaker ends the collapse",
        ),
        "what comes back is believed: events from the future pass": (
            "serving/resilience.py",
            "np.isinf(values).any() or strange.any():",
            "np.isinf(values).any():",
            "a look at what comes back finds it",
        ),
        "a canary is blind: engagement takes nothing back": (
            "serving/rollout.py",
            "if effect is not None and effect.high < -rails.max_loss:",
            "if False:",
            "a fifth is noticed",
        ),
        "the prediction cache forgets which posts were asked for": (
            "serving/server.py",
            "return model.version, self.flags, user, posts.tobytes(), k, sent",
            "return model.version, self.flags, user, k, sent",
            "the right key never answers wrongly",
        ),
    },
}
"""Per notebook: fault → file, line, what stands there instead, words of the claim that fails."""

CASES = [(notebook, fault) for notebook, faults in FAULTS.items() for fault in faults]


def execute(package_parent: Path, notebook: str = "01_introduction") -> subprocess.CompletedProcess[str]:
    source = ROOT / "notebooks" / "_source" / f"{notebook}.py"
    code = (
        "import sys, json, pathlib, mlsys; from mlsys.lesson.run import execute; "
        "o = execute(pathlib.Path(sys.argv[1]), parameters=json.loads(sys.argv[2])); "
        "print(mlsys.__file__, o.error or 'no error')"
    )
    environ = {**os.environ, "PYTHONPATH": str(package_parent), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, str(source), json.dumps(PARAMETERS[notebook]["small"])],
        capture_output=True, text=True, env=environ, cwd=package_parent, encoding="utf-8",
    )  # fmt: skip


def copy_of_the_package(folder: Path) -> Path:
    shutil.copytree(ROOT / "mlsys", folder / "mlsys", ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "mlsys"


@pytest.mark.parametrize(("notebook", "fault"), CASES)
def test_a_one_line_fault_makes_the_notebook_fail(notebook: str, fault: str, tmp_path: Path) -> None:
    file, line, replacement, says = FAULTS[notebook][fault]
    path = copy_of_the_package(tmp_path) / file
    text = path.read_text(encoding="utf-8")
    assert text.count(line) == 1, f"the line to break is gone from {file}; point the fault at its successor"
    path.write_text(text.replace(line, replacement), encoding="utf-8")
    done = execute(tmp_path, notebook)
    assert done.returncode == 0 and str(tmp_path) in done.stdout, done.stdout + done.stderr  # It is the copy that ran.
    assert says in done.stdout, done.stdout


def test_the_conclusions_follow_the_measured_costs(tmp_path: Path) -> None:
    path = copy_of_the_package(tmp_path) / "unit_costs.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["costs"]["naive_rank_500_us"] = document["costs"]["rank_500_us"] * 2
    path.write_text(json.dumps(document), encoding="utf-8")
    assert "one vector call beats a loop of calls" in execute(tmp_path).stdout
