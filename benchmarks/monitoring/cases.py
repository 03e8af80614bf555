"""One way to ask whether columns drifted, in a process of its own: python cases.py CASE FILE. Prints JSON last."""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

Found = dict[str, list[float]]


def ours(reference: pd.DataFrame) -> Callable[[pd.DataFrame], Found]:
    """PSI, KS, p, missing share and the verdict."""
    from mlsys.monitoring import ModelMonitor

    monitor = ModelMonitor(reference)

    def check(current: pd.DataFrame) -> Found:
        found = monitor.check(current).set_index("column").loc[list(current.columns)]
        return {"ks": found["ks"].tolist(), "psi": found["psi"].tolist()}

    return check


def ours_by_the_hour(reference: pd.DataFrame) -> Callable[[pd.DataFrame], Found]:
    """The same from a stream of 24 batches."""
    from mlsys.monitoring import ModelMonitor

    monitor = ModelMonitor(reference)

    def check(current: pd.DataFrame) -> Found:
        window = monitor.window()
        for hour in range(24):
            window.observe(current[hour * len(current) // 24 : (hour + 1) * len(current) // 24])
        found = window.report().set_index("column").loc[list(current.columns)]
        return {"ks": found["ks"].tolist(), "psi": found["psi"].tolist()}

    return check


def scipy(reference: pd.DataFrame) -> Callable[[pd.DataFrame], Found]:
    """`ks_2samp` column by column."""
    from scipy.stats import ks_2samp

    def check(current: pd.DataFrame) -> Found:
        tests = [ks_2samp(reference[name], current[name], method="asymp") for name in current.columns]
        return {"ks": [float(test.statistic) for test in tests]}

    return check


def numpy(reference: pd.DataFrame) -> Callable[[pd.DataFrame], Found]:
    """PSI over deciles of the reference, which is binned again at every check: what one writes first."""

    def check(current: pd.DataFrame) -> Found:
        found = []
        for name in current.columns:
            a, b = reference[name].to_numpy(), current[name].to_numpy()
            edges = np.unique([-np.inf, *np.quantile(a, np.linspace(0.1, 0.9, 9)), np.inf])
            r, c = (np.maximum(np.histogram(values, edges)[0] / len(values), 5e-4) for values in (a, b))
            found.append(float(((c - r) * np.log(c / r)).sum()))
        return {"psi": found}

    return check


def evidently(reference: pd.DataFrame, method: str) -> Callable[[pd.DataFrame], Found]:
    """The data drift preset with one method; its KS gives the p-value, its PSI has bins of its own."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    def check(current: pd.DataFrame) -> Found:
        metrics = Report([DataDriftPreset(method=method)]).run(current, reference).dict()["metrics"]
        drift = {m["config"]["column"]: float(m["value"]) for m in metrics if "column" in m["config"]}
        return {"p" if method == "ks" else "own psi": [drift[name] for name in current.columns]}

    return check


def nannyml(reference: pd.DataFrame) -> Callable[[pd.DataFrame], Found]:
    """The univariate drift calculator, KS, the whole batch as one chunk."""
    import nannyml as nml

    names = list(reference.columns)
    fitted = nml.UnivariateDriftCalculator(
        column_names=names, continuous_methods=["kolmogorov_smirnov"], chunk_number=1
    ).fit(reference)

    def check(current: pd.DataFrame) -> Found:
        table = fitted.calculate(current).filter(period="analysis").to_df()
        return {"ks": [float(table[name]["kolmogorov_smirnov"]["value"].iloc[0]) for name in names]}

    return check


CASES: dict[str, Callable[[pd.DataFrame], Callable[[pd.DataFrame], Found]]] = {
    "ours": ours,
    "ours, 24 batches": ours_by_the_hour,
    "scipy, KS": scipy,
    "numpy, PSI": numpy,
    "Evidently, KS": lambda reference: evidently(reference, "ks"),
    "Evidently, PSI": lambda reference: evidently(reference, "psi"),
    "NannyML, KS": nannyml,
}


def main() -> None:
    """Time the reference once and the check a few times."""
    warnings.simplefilter("ignore")
    case, path, repeats = sys.argv[1], sys.argv[2], int(sys.argv[3])
    data = np.load(path)
    columns = [f"c{i}" for i in range(data["current"].shape[1])]
    reference, current = (pd.DataFrame(data[name], columns=columns) for name in ("reference", "current"))
    start = time.perf_counter()
    check = CASES[case](reference)
    ready, taken, found = time.perf_counter() - start, list[float](), dict[str, Any]()
    for _ in range(repeats):
        start = time.perf_counter()
        found = check(current)
        taken.append(time.perf_counter() - start)
    print(json.dumps({"ready": ready, "seconds": float(np.median(taken)), "found": found}))


if __name__ == "__main__":
    main()
