"""Two caches: feature vectors as last read, and whole answers.

The feature cache is the `cached` rung of the ladder, and its expired entries and a snapshot are the next one. Staleness
is its price: a vector may be as old as the last materialization and `ttl_seconds` on top.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

import numpy as np

from mlsys.core import Clock
from mlsys.features.online import OnlineStore, Source, StoreUnavailable
from mlsys.features.timeline import NEVER
from mlsys.serving.resilience import SingleFlight

V = TypeVar("V")
MIXER = np.uint64(0x9E3779B97F4A7C15)


class FeatureCache:
    """Vectors of the last `ttl_seconds`, in front of any `OnlineStore`; and, while that fails, whatever is known.

    One slot per hashed id, as in a processor's direct-mapped cache: `slots` (a power of two) bounds the memory of a
    table, a look-up of 500 ids is one gather, and ids that share a slot take it from each other. That an id has no
    vector is remembered too. snapshot : another store that is asked during outages, such as last night's copy.

    >>> from mlsys.core import VirtualClock
    >>> from mlsys.features.online import MemoryOnline
    >>> clock, store = VirtualClock(), MemoryOnline()
    >>> store.write("user", np.array([7]), np.array([[0.5]], np.float32), np.array([0]))
    >>> cache = FeatureCache(clock, ttl_seconds=300)
    >>> [Source(cache.read(store, "user", np.array([7]), 1)[2][0]).name for _ in range(2)]
    ['FRESH', 'CACHED']
    """

    def __init__(
        self, clock: Clock, *, ttl_seconds: float = 300.0, slots: int = 1 << 16, snapshot: OnlineStore | None = None
    ) -> None:
        if slots < 1 or slots & (slots - 1):
            raise ValueError(f"slots={slots} is no power of two")
        self.clock, self.ttl_seconds, self.slots, self.snapshot = clock, ttl_seconds, slots, snapshot
        self.hits = self.misses = 0
        self._tables: dict[str, _Slots] = {}
        self._flights, self._lock = SingleFlight(), Lock()

    def read(
        self, store: OnlineStore, table: str, ids: np.ndarray, width: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """See `ReadCache.read`. Ids that are not cached are read once each."""
        ids = np.ascontiguousarray(ids, np.int64)
        one = len(ids) > 1 and bool((ids == ids[0]).all())  # the user of a ranking: 500 rows, one id
        asked = ids[:1] if one else ids
        found = self._read(store, table, asked, width)
        if found is None or not one:
            return found
        values, newest, source = (np.repeat(part, len(ids), axis=0) for part in found)
        return values, newest, source

    def _read(
        self, store: OnlineStore, table: str, ids: np.ndarray, width: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        now = self.clock.monotonic()
        with self._lock:
            known = self._tables.get(table)
            kept = None if known is None else known.at(ids, self._slot(ids))
        fresh = np.zeros(len(ids), bool) if kept is None else now - kept.read_at <= self.ttl_seconds
        self.hits += (hits := int(fresh.sum()))
        self.misses += len(ids) - hits
        if kept is not None and hits == len(ids):
            return kept.values, kept.newest, np.full(len(ids), Source.CACHED, np.int8)
        missing = np.unique(ids[~fresh])
        try:
            got = self._flights.do((table, missing.tobytes()), lambda: store.read(table, missing))
        except StoreUnavailable:
            return self._stale(table, ids, width, kept, fresh)
        if got is None:
            return None
        with self._lock:
            self._put(table, missing, *got, now)
        if not hits:
            row = np.searchsorted(missing, ids)
            return got[0][row], got[1][row], np.zeros(len(ids), np.int8)
        assert kept is not None
        values, newest = kept.values, kept.newest
        row = np.searchsorted(missing, ids[~fresh])
        values[~fresh], newest[~fresh] = got[0][row], got[1][row]
        return values, newest, np.where(fresh, np.int8(Source.CACHED), np.int8(Source.FRESH))

    def _stale(
        self, table: str, ids: np.ndarray, width: int, kept: _Kept | None, fresh: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What is known without the store: cached, expired, in the snapshot, in this order."""
        copy = None if self.snapshot is None else self.snapshot.read(table, ids)
        if kept is None:
            kept = _Slots.empty(len(ids), width).at(np.zeros(len(ids), np.int64), np.arange(len(ids)))
        values, newest, old = kept.values, kept.newest, np.isfinite(kept.read_at)
        if copy is not None:
            values[~old], newest[~old] = copy[0][~old], copy[1][~old]
        source = np.where(old | (newest != NEVER), np.int8(Source.SNAPSHOT), np.int8(Source.MISSING))
        source[fresh] = Source.CACHED
        return values, newest, source

    def _put(self, table: str, ids: np.ndarray, values: np.ndarray, newest: np.ndarray, now: float) -> None:
        known, width = self._tables.get(table), values.shape[1]
        if known is None or known.values.shape[1] != width:
            known = self._tables[table] = _Slots.empty(self.slots, width)
        slot = self._slot(ids)
        known.ids[slot], known.values[slot], known.newest[slot], known.read_at[slot] = ids, values, newest, now
        # Of two ids in one slot numpy keeps the last, in every array alike: the row stays one id's own.

    def _slot(self, ids: np.ndarray) -> np.ndarray:
        shift = np.uint64(64 - self.slots.bit_length() + 1)
        return ((ids.view(np.uint64) * MIXER) >> shift).view(np.int64) if self.slots > 1 else np.zeros_like(ids)


@dataclass
class _Kept:
    values: np.ndarray
    newest: np.ndarray
    read_at: np.ndarray


@dataclass
class _Slots:
    """One table's slots: id, vector, newest event, and when it was read (-inf: never)."""

    ids: np.ndarray
    values: np.ndarray
    newest: np.ndarray
    read_at: np.ndarray

    @classmethod
    def empty(cls, slots: int, width: int) -> _Slots:
        nothing = np.full((slots, width), np.nan, np.float32)
        return cls(np.zeros(slots, np.int64), nothing, np.full(slots, NEVER), np.full(slots, -np.inf))

    def at(self, ids: np.ndarray, slot: np.ndarray) -> _Kept:
        """Copies of what is known of these ids; read_at -inf, NaN and NEVER where nothing is."""
        found = _Kept(self.values.take(slot, axis=0), self.newest.take(slot), self.read_at.take(slot))
        other = self.ids.take(slot) != ids
        if other.any():
            found.values[other], found.newest[other], found.read_at[other] = np.nan, NEVER, -np.inf
        return found


class PredictionCache(Generic[V]):
    """Whole answers for `ttl_seconds`, the least recently used dropped beyond `size`.

    The key has to hold everything that determines the answer; the server puts model version, user, candidates, number
    of posts and device there. What it leaves out, such as the minute, may be `ttl_seconds` off.

    >>> from mlsys.core import VirtualClock
    >>> clock = VirtualClock()
    >>> cache = PredictionCache(clock, ttl_seconds=60)
    >>> cache.put("key", 0.5), cache.get("key"), clock.advance(seconds=61), cache.get("key")
    (None, 0.5, None, None)
    """

    def __init__(self, clock: Clock, *, ttl_seconds: float = 60.0, size: int = 10_000) -> None:
        self.clock, self.ttl_seconds, self.size = clock, ttl_seconds, size
        self.hits = self.misses = 0
        self._kept: OrderedDict[Hashable, tuple[float, V]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> V | None:
        """The answer, if there is one and it is not too old."""
        with self._lock:
            found = self._kept.get(key)
            if found is None or self.clock.monotonic() - found[0] > self.ttl_seconds:
                self.misses += 1
                return None
            self.hits += 1
            self._kept.move_to_end(key)
            return found[1]

    def put(self, key: Hashable, answer: V) -> None:
        """Keep an answer from now on."""
        with self._lock:
            self._kept[key] = self.clock.monotonic(), answer
            self._kept.move_to_end(key)
            if len(self._kept) > self.size:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget all answers: a rollback must not be outlived by what it took back."""
        with self._lock:
            self._kept.clear()
