"""What production does to a log before you see it: duplicates, broken times, unknown names, impossible numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlsys.core import generator

FAULTS = ("duplicate id", "broken time", "unknown action", "arrived before it happened")


def spoil(events: pd.DataFrame, *, each: int, seed: int) -> pd.DataFrame:
    """The events as a text log, with `each` extra rows of every fault in `FAULTS` mixed in, in arrival order.

    Returns a frame of the event columns, ready for `to_csv`, with `len(events) + each * len(FAULTS)` rows. The
    true rows are untouched, so a reader that works gives exactly them back.
    """
    rng = generator(seed, each)
    log = events.astype({"action": object, "event_time": str, "arrival_time": str})
    extra = [log.iloc[rng.choice(len(log), each, replace=False)].copy() for _ in FAULTS]
    for i, bad in enumerate(extra[1:], start=1):
        bad["event_id"] = events["event_id"].max() + 1 + np.arange(each) + i * each
    extra[1]["event_time"] = "yesterday"
    extra[2]["action"] = "lkie"
    extra[3]["arrival_time"] = "1999-12-31 23:59:59"
    # A true row stays before its duplicate, so that "first one wins" keeps the true one.
    place = np.concatenate([np.arange(len(log)), rng.uniform(len(log) * 0.9, len(log), each * len(FAULTS))])
    place[len(log) : len(log) + each] = len(log)
    return pd.concat([log, *extra]).iloc[np.argsort(place, kind="stable")].reset_index(drop=True)
