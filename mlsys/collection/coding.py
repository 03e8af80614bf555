"""How raw text becomes event columns: times to UTC microseconds, ids to codes, faults to reasons.

Work is per column, never per row. Memory holds codes and each distinct id once, not the text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress

import numpy as np
import pandas as pd

from mlsys.collection.mapping import TIME_UNITS, Mapping
from mlsys.core import ACTIONS, UNKNOWN_ID, microseconds

MAX_UNKNOWN_ACTIONS = 20  # So many are counted by name, the rest together.
MAX_EVENT_ID = 64  # Characters: bounds the memory per row of event ids that are not numbers.
EARLIEST, LATEST = microseconds(np.array(["1900-01-01", "2200-01-01"], "datetime64[us]"))


class MixedTimes(Exception):
    """Some times have a UTC offset and some do not, and the mapping names no time zone."""


class Coder:
    """Codes chunks of raw text; remembers ids and event ids from chunk to chunk.

    A row gets the first fault of this order: event_time, arrival_time, arrival before event, post_id,
    action, position, propensity, event_id missing, too long, seen before. Only kept rows get codes, so
    dropping the faulty rows from the file changes nothing. Raises `MixedTimes` if some times have a UTC
    offset and some do not, unless `offset_required`: then those without are faults.
    """

    def __init__(self, mapping: Mapping, *, offset_required: bool = False) -> None:
        self.mapping, self.offset_required = mapping, offset_required
        self.naive_seen = self.aware_seen = False
        self.rows = 0
        self._reasons = {"": 0}
        self._unknown_actions: set[str] = set()
        self._kept: dict[str, _Growing] = defaultdict(_Growing)
        self._ids = {name: _Ids() for name in ("user_id", "post_id", "device")}
        self._seen = _Seen()

    def code(self, raw: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Take a chunk: one column of str per used file column. Returns (rows that failed, their reasons)."""
        self._fault = np.zeros(len(raw), np.int32)
        text = self.mapping.texts(raw)
        coded: dict[str, np.ndarray] = {"event_time": self._times("event_time", text["event_time"])}
        if "arrival_time" in text:
            coded["arrival_time"] = self._times("arrival_time", text["arrival_time"])
            self._fail(coded["arrival_time"] < coded["event_time"], "arrival_time is before event_time")
        if self.naive_seen and self.aware_seen and not self.offset_required:
            raise MixedTimes
        self._fail(text["post_id"] == "", "post_id is missing")
        coded["action"] = self._actions(text["action"])
        if "position" in text:
            number = _numbers(text["position"])
            ok = (number >= 0) & (number < 2**31) & (number == np.floor(number))
            self._fail(~ok, "position is not a whole number from 0")
            coded["position"] = np.where(ok, number, 0).astype(np.int64)
        if "propensity" in text:
            coded["propensity"] = _numbers(text["propensity"])
            ok = (coded["propensity"] > 0) & (coded["propensity"] <= 1)
            self._fail(~ok, "propensity is not a number in (0, 1]")
        if "event_id" in text:
            self._fail(text["event_id"] == "", "event_id is missing")
            length = np.fromiter(map(len, text["event_id"]), np.int64, len(raw))
            self._fail(length > MAX_EVENT_ID, f"event_id is longer than {MAX_EVENT_ID} characters")
            rows = np.flatnonzero(self._fault == 0)
            keys = pd.util.hash_array(text["event_id"][rows], categorize=False)
            self._fault[rows[self._seen.repeats(keys)]] = self._reason("event_id was seen before")

        keep = self._fault == 0
        self.rows += int(keep.sum())
        for name, values in coded.items():
            self._kept[name].append(values[keep])
        for name, table in self._ids.items():
            if name in text:
                self._kept[name].append(table.codes(text[name][keep]))
        if "event_id" in text and keep.any():
            names = text["event_id"][keep]
            whole = _whole_numbers(names)
            self._kept["event_id"].append(np.char.encode(names.astype("U"), "utf-8") if whole is None else whole)
        failed = np.flatnonzero(~keep)
        return failed, np.array(list(self._reasons), dtype=object)[self._fault[failed]]

    def finish(self) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
        """All kept rows as events, and the original ids: code i stands for `ids[column][i]`. Call once."""
        column = {name: self._kept.pop(name).values() for name in list(self._kept)}
        ids: dict[str, np.ndarray] = {}
        for name in self._ids.keys() & column.keys():
            column[name], ids[name] = self._ids[name].ordered(column[name])
        if "event_id" in column and column["event_id"].dtype != np.int64:
            ids["event_id"] = column.pop("event_id")
        happened = column["event_time"].view("datetime64[us]")
        events: dict[str, np.ndarray | pd.Categorical[str]] = {
            "event_id": column.pop("event_id", np.arange(self.rows, dtype=np.int64)),
            "user_id": column.pop("user_id", np.full(self.rows, UNKNOWN_ID, np.int64)),
            "post_id": column.pop("post_id"),
            "action": _category(column.pop("action"), ACTIONS),
            "event_time": happened,
            "arrival_time": column.pop("arrival_time", happened.copy()).view("datetime64[us]"),
        }
        if "device" in column:
            events["device"] = _category(column["device"], ids.pop("device").astype(str))
        events |= {name: column[name] for name in ("position", "propensity") if name in column}
        return pd.DataFrame(events, copy=False), ids

    def _reason(self, text: str) -> int:
        return self._reasons.setdefault(text, len(self._reasons))

    def _fail(self, rows: np.ndarray, text: str) -> None:
        """Give `rows` (mask) this fault, unless they have one."""
        self._fault[rows & (self._fault == 0)] = self._reason(text)

    def _times(self, name: str, text: np.ndarray) -> np.ndarray:
        """UTC microseconds, int64; faulty rows hold anything."""
        zone = self.mapping.time_zone
        if self.mapping.time_unit is not None:
            number = _numbers(text) * TIME_UNITS[self.mapping.time_unit]
            ok = (number >= EARLIEST) & (number < LATEST)
            self._fail(~ok, f"{name} is not an epoch number between 1900 and 2200")
            return np.rint(np.where(ok, number, 0)).astype(np.int64)
        times = pd.DatetimeIndex(pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce"))
        micros = microseconds(times.tz_localize(None))
        ok = (micros >= EARLIEST) & (micros < LATEST)
        # What pandas parsed is ASCII, so its bytes can be looked at as a table: rows × characters.
        letters = text[ok].astype("S48").view(np.uint8).reshape(-1, 48)
        # Needs a whole date; "now" and "today" would read the wall clock.
        whole = (letters[:, 0] >= ord("0")) & (letters[:, 0] <= ord("9")) & (letters[:, 7] != 0)
        offset = ((letters == ord("Z")) | (letters == ord("+"))).any(1) | (letters[:, 9:] == ord("-")).any(1)
        aware, naive = np.zeros((2, len(text)), bool)
        aware[ok], naive[ok] = whole & offset, whole & ~offset
        self._fail(~(aware | naive), f"{name} is not an ISO 8601 time between 1900 and 2200")
        if zone is not None and naive.any():
            local = times[naive].tz_localize(None).tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
            micros[naive] = microseconds(local.tz_convert("UTC").tz_localize(None))
            naive[naive] = local.isna()
            self._fail(naive, f"{name} does not exist, or exists twice, in {zone}")
        elif zone is None:
            self.naive_seen |= bool(naive.any())
            self.aware_seen |= bool(aware.any())
            if self.offset_required:
                self._fail(naive, f"{name} has no UTC offset, and other times in the file have one")
        return micros

    def _actions(self, text: np.ndarray) -> np.ndarray:
        """Codes into `ACTIONS`, -1 for null."""
        rows = np.flatnonzero(self._fault == 0)
        codes, values = pd.factorize(text[rows])
        targets = [self.mapping.actions.get(value, "" if value == "" else None) for value in values]
        fault = np.array([self._unknown(v) if t is None else 0 for v, t in zip(values, targets, strict=True)], np.int32)
        action = np.array([ACTIONS.index(t) if t else -1 for t in targets], np.int8)
        self._fault[rows] = fault[codes]
        out = np.full(len(text), -1, np.int8)
        out[rows] = action[codes]
        return out

    def _unknown(self, value: str) -> int:
        if len(self._unknown_actions | {value}) > MAX_UNKNOWN_ACTIONS:
            return self._reason("action is not in the mapping (further values)")
        self._unknown_actions.add(value)
        return self._reason(f"action {value[:40]!r} is not in the mapping")


class _Ids:
    """Distinct texts, numbered as they come; "" is -1."""

    def __init__(self) -> None:
        self._table: dict[str, int] = {}

    def codes(self, text: np.ndarray) -> np.ndarray:
        codes, values = pd.factorize(text)
        table = self._table
        return np.array([-1 if v == "" else table.setdefault(v, len(table)) for v in values], np.int32)[codes]

    def ordered(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(codes renumbered, ids): ids in order of value if all are whole numbers, else of text."""
        names = np.array(list(self._table), dtype=object)
        ids = names if (whole := _whole_numbers(names)) is None else whole
        order = np.argsort(ids, kind="stable")
        rank = np.full(len(order) + 1, UNKNOWN_ID, np.int64)  # The last one is for code -1.
        rank[order] = np.arange(len(order))
        return rank[codes], ids[order]


class _Growing:
    """An array that grows (joining chunks at the end would hold all twice); its type widens from int64 to bytes."""

    def __init__(self) -> None:
        self._data, self._n = np.empty(0, np.int8), 0

    def append(self, values: np.ndarray) -> None:
        need = self._n + len(values)
        dtype = np.promote_types(self._data.dtype, values.dtype) if self._n else values.dtype
        if need > len(self._data) or dtype != self._data.dtype:
            old, self._data = self._data, np.empty(need + need // 2, dtype)  # Costs nothing until written to.
            self._data[: self._n] = old[: self._n]
        self._data[self._n : need] = values
        self._n = need

    def values(self) -> np.ndarray:
        return self._data[: self._n]


class _Seen:
    """Keys met so far, as sorted runs that are merged when of like size: n log n, 8 bytes a key.

    Keys are 64-bit hashes: any two of 30 million different ids collide with probability 2e-5.
    """

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []

    def repeats(self, keys: np.ndarray) -> np.ndarray:
        """Mask of `keys` met before, in this call or earlier; the others are remembered."""
        old = pd.Series(keys).duplicated().to_numpy(copy=True)
        for run in self._runs:
            at = np.minimum(np.searchsorted(run, keys), len(run) - 1)
            old |= run[at] == keys
        run = np.sort(keys[~old])
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]), kind="stable")
        self._runs += [run] if len(run) else []
        return old


def _category(codes: np.ndarray, names: Iterable[str]) -> pd.Categorical[str]:
    return pd.Categorical.from_codes(codes.astype(np.int32), categories=pd.Index(list(names)))


def _numbers(text: np.ndarray) -> np.ndarray:
    """float64, NaN where the text is not a number."""
    number = pd.to_numeric(text, errors="coerce").astype(np.float64)
    ok = ~np.isnan(number)
    with suppress(ValueError):  # Right to the last digit, which to_numeric of pandas 2 is not.
        number[ok] = text[ok].astype(np.float64)
    return number


def _whole_numbers(text: np.ndarray) -> np.ndarray | None:
    """int64 if every text is a whole number written the plain way (7, not 07 or +7), else None."""
    number = pd.to_numeric(text, errors="coerce")
    if len(text) == 0 or number.dtype != np.int64 or number.min() < 0:
        return None
    digits = 1 + np.searchsorted(10 ** np.arange(1, 19, dtype=np.int64), number, side="right")
    return number if len("".join(text)) == digits.sum() else None
