"""The cases of ranx and Open Bandit Pipeline: each in an environment of its own, which has no `mlsys`."""

from __future__ import annotations

import importlib.util
import sys
import types
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
from timing import Inputs, Run, main


def ndcg(data: Inputs) -> dict[str, Run]:
    from ranx import Qrels, evaluate
    from ranx import Run as Ranking

    if len(data["y"]) > 100_000:
        return {}  # half a minute to build
    frame = pd.DataFrame({"q": data["list"], "doc": np.arange(len(data["y"])), "y": data["y"] * 1, "p": data["p"]})
    frame = frame.astype({"q": str, "doc": str}).astype({"q": object, "doc": object})
    frame = frame[frame.groupby("q")["y"].transform("max") > 0]  # it would count a list without a like as 0

    def built() -> tuple[object, object]:
        liked = Qrels.from_df(frame[frame["y"] > 0], q_id_col="q", doc_id_col="doc", score_col="y")
        return liked, Ranking.from_df(frame, q_id_col="q", doc_id_col="doc", score_col="p")

    ready = built()
    return {
        "ranx, its own objects built before": lambda: evaluate(*ready, "ndcg@10", make_comparable=False),
        "ranx, from a frame": lambda: evaluate(*built(), "ndcg@10"),
    }


def off_policy(data: Inputs, estimator: str) -> dict[str, Run]:
    # The front page imports everything; the estimators need only numpy, scipy, scikit-learn.
    package = types.ModuleType("obp")
    package.__path__ = list(importlib.util.find_spec("obp").submodule_search_locations)
    absent = ("torch", "matplotlib", "matplotlib.pyplot", "seaborn", "yaml", "pyieoe", "mypy_extensions")
    parts = ("nn", "nn.functional", "optim", "utils", "utils.data")
    mocked = {name: MagicMock() for name in (*absent, *(f"torch.{part}" for part in parts))}
    sys.modules.update({"obp": package, **mocked})
    from obp import ope

    known = {
        "reward": data["reward"],
        "action": data["action"],
        "pscore": data["pscore"],
        "action_dist": data["pi"][:, :, None],
        "position": np.zeros(len(data["reward"]), int),
    }
    made = {
        "ips": ope.InverseProbabilityWeighting,
        "snips": ope.SelfNormalizedInverseProbabilityWeighting,
        "dr": ope.DoublyRobust,
    }[estimator]()
    if estimator == "dr":
        known["estimated_rewards_by_reg_model"] = data["q"][:, :, None]

    def interval() -> object:
        return made.estimate_interval(**known, n_bootstrap_samples=100, random_state=13)["mean"]

    return {"obp, value only": lambda: made.estimate_policy_value(**known), "obp, interval of 100 resamples": interval}


if __name__ == "__main__":
    names = ("ips", "snips", "dr")
    main({"ndcg": ndcg, **{name: lambda data, name=name: off_policy(data, name) for name in names}})
