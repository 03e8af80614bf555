"""Off-policy estimates on real logs: what one policy's log says of the other, beside what the other really earned.

    python benchmarks/evaluation/open_bandit.py PATH > benchmarks/evaluation/open_bandit.md

PATH holds `random/women.csv.gz` and `bts/women.csv.gz` of the Open Bandit Dataset, small version: 10,000 impressions of
each policy, in the same week, of 46 items in three places of a fashion feed. The authors publish it with their code,
https://github.com/st-tech/zr-obp (obd/), as CSV files. The repository is under the Apache License 2.0; the folder names
none of its own, and asks to cite Saito, Aihara, Matsutani & Narita, Open Bandit Dataset and Pipeline: Towards realistic
and reproducible off-policy evaluation, arXiv:2008.07146 (2020).

Taken for granted: rows are independent (users have no id), a click depends on the item and its place, and people were
the same under both policies. bts is taken as fixed, at its mean over the week, counted from its own log: that says
nothing of its clicks. (Its logged propensities of one item in one place differ many times over.)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from mlsys.evaluation import Feedback, cross_fit, off_policy, on_policy

ITEMS, FOLDS, CLIP = 46, 5, 10.0


def main() -> None:
    """Print a table for each direction; values are clicks per 1,000 impressions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="folder with random/ and bts/")
    path = parser.parse_args().path
    logs = {name: pd.read_csv(path / name / "women.csv.gz") for name in ("random", "bts")}
    policies = {"random": np.full((3, ITEMS), 1 / ITEMS), "bts": shares(logs["bts"])}
    print("# Off-policy estimates on real logs\n\nWritten by `open_bandit.py`, which says where the data comes from.")
    for logger, target in (("random", "bts"), ("bts", "random")):
        table = compare(logs[logger], policies[target], logs[target])
        print(f"\n## {target}, valued from the log of {logger}; clicks per 1,000 impressions\n\n{markdown(table)}")


def shares(log: pd.DataFrame) -> np.ndarray:
    """P(item | place) over the week, float64 (places, items)."""
    counts = np.zeros((3, ITEMS))
    np.add.at(counts, (log["position"] - 1, log["item_id"]), 1)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def compare(log: pd.DataFrame, policy: np.ndarray, truth: pd.DataFrame) -> pd.DataFrame:
    """All estimators with and without a limit to the weights, under what the target itself earned."""
    item, place = log["item_id"].to_numpy(), log["position"].to_numpy() - 1
    reward, ones = log["click"].to_numpy(np.float64), np.ones(len(log))
    fold = np.arange(len(log)) % FOLDS
    rates = cross_fit(item, reward, ones, fold, ITEMS)
    q_logged, q_target = rates[fold, item], (policy[place] * rates[fold]).sum(axis=1)
    feedback = Feedback(reward, log["propensity_score"].to_numpy(), policy[place, item])
    own = truth["click"].to_numpy(np.float64)
    parts = {
        "truth": pd.DataFrame([vars(on_policy(Feedback(own, np.ones(len(own)), np.ones(len(own)))))], ["its own log"]),
        "all weights": off_policy(feedback, q_logged, q_target),
        f"weights up to {CLIP:g}": off_policy(feedback, q_logged, q_target, clip=CLIP).loc[["ips", "snips", "dr"]],
    }
    table = pd.concat(parts).rename(index={"on policy": "the logger's own value"})
    value = table["value"].iloc[0]
    table["truth inside"] = (table["low"] <= value) & (value <= table["high"])
    return table


def markdown(table: pd.DataFrame) -> str:
    """A row each: value and interval, effective rows, whether it meets the truth, what to doubt."""
    lines = [
        "| weights | estimator | value | interval | effective rows | holds the truth | doubt |",
        "|---|---|---:|---|---:|---|---|",
    ]
    for (kind, name), row in table.iterrows():
        value, low, high = (1e3 * row[key] for key in ("value", "low", "high"))
        ess = "" if np.isnan(row["ess"]) else f"{row['ess']:,.0f}"
        holds = "" if kind == "truth" else "yes" if row["truth inside"] else "no"
        lines.append(
            f"| {kind} | {name} | {value:.2f} | {low:.2f} to {high:.2f} | {ess} | {holds} | {row['warning']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
