"""Two ways to know what an entity looked like at an instant, without walking through its events.

`Timeline` answers sums: one sort, then a binary search and a subtraction of prefix sums per question.
`Staircase` answers maxima of values that come and go: every value is painted once over the instants at which it
counts, on the nodes of a segment tree. Both take n log n for any number of questions.
"""

from __future__ import annotations

import numpy as np

from mlsys.features.positions import Positions

NEVER = np.iinfo(np.int64).min // 2
"""A time before all others, in microseconds."""


class Timeline:
    """Columns of numbers for many entities, in time order, ready for prefix sums.

    Parameters
    ----------
    entity : int64 (n,). time : int64 microseconds (n,). columns : float64 (n, k).
    """

    def __init__(self, entity: np.ndarray, time: np.ndarray, columns: np.ndarray) -> None:
        self.order = order_by(time, entity)
        entity, self.time = entity[self.order], time[self.order]
        new = np.append(True, entity[1:] != entity[:-1])[: len(entity)]
        self.code = np.cumsum(new) - 1
        self._first = np.append(np.flatnonzero(new), len(entity))
        self.ids = entity[self._first[:-1]]
        self._positions = Positions(self.ids)
        self._ticks: np.ndarray | None = None
        self._start, self._span = (int(time.min()), int(np.ptp(time)) + 2) if len(time) else (0, 2)
        if (len(self.ids) + 1) * self._span < 2**62:
            tick = self._tick(self.time)
        else:  # A key would overflow int64: number the distinct times instead.
            self._ticks, number = _numbered(time)
            self._span, tick = len(self._ticks) + 1, number[self.order]
        self._key = self.code * self._span + tick
        self._prefix = np.zeros((len(entity) + 1, columns.shape[1]))
        np.cumsum(columns[self.order], axis=0, out=self._prefix[1:])

    def before(self, entity: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(start, stop) positions of each entity's events with time < `time`; equal where there is none."""
        # Who has no event has the number after the last one, and so starts and stops at the end.
        code = self._positions.of(np.ascontiguousarray(entity, np.int64))
        key = code * self._span + self._tick(time)
        # Questions in order walk through the keys once; at random, every step of every search is a cache miss. Order
        # by the upper sixteen bits is enough for that, and is sorted by radix.
        upper = (key >> max(int(self._key[-1] if len(self._key) else 0).bit_length() - 16, 0)).clip(0, 2**16 - 1)
        order, stop = np.argsort(upper.astype(np.uint16), kind="stable"), np.empty(len(key), np.int64)
        stop[order] = np.searchsorted(self._key, key[order])
        return self._first[code], stop

    def _tick(self, time: np.ndarray) -> np.ndarray:
        """A time as a number below `_span`, in order; all instants after the last event are one."""
        if self._ticks is None:
            return np.asarray(np.clip(time - self._start, 0, self._span - 1))
        return np.asarray(np.searchsorted(self._ticks, time))

    def total(self, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
        """Sums of every column over positions start to stop, float64 (questions, k)."""
        return np.asarray(self._prefix[stop] - self._prefix[start])


class Staircase:
    """The largest of the values that count at an instant; value i counts on (start i, end i].

    entity, start, end : int64 (n,), microseconds; end None: for ever. value : float64 (n,).

    >>> stairs = Staircase(np.array([7, 7]), np.array([0, 1]), np.array([9, 5]), np.array([1.0, 3.0]))
    >>> stairs.at(np.array([7, 7, 7, 7]), np.array([1, 5, 6, 10])).tolist()
    [1.0, 3.0, 1.0, nan]
    """

    def __init__(self, entity: np.ndarray, start: np.ndarray, end: np.ndarray | None, value: np.ndarray) -> None:
        steps = [start] if end is None else [start, end]
        times, owners = np.concatenate(steps), np.concatenate([entity] * len(steps))
        self._line = Timeline(owners, times, np.empty((len(times), 0)))
        # Position p of an entity is the span after p of its steps, up to the next one.
        low = self._line.before(entity, start + 1)[1]
        last = np.iinfo(np.int64).max // 2
        high = self._line.before(entity, np.full(len(entity), last) if end is None else end)[1] + 1
        size = 1 << len(times).bit_length()
        tree = np.full(2 * size, -np.inf)
        low, high = low + size, high + size
        while (open_ := low < high).any():
            for node, odd in ((low, open_ & (low % 2 == 1)), (high - 1, open_ & (high % 2 == 1))):
                np.maximum.at(tree, node[odd], value[odd])
            low, high = (low + 1) // 2, high // 2
        for level in (1 << np.arange(size.bit_length() - 1)).tolist():
            below = tree[2 * level : 4 * level]
            np.maximum(below, np.repeat(tree[level : 2 * level], 2), out=below)
        self._height = tree[size:]

    def at(self, entity: np.ndarray, time: np.ndarray) -> np.ndarray:
        """float64 (questions,), NaN where no value counts."""
        start, stop = self._line.before(entity, time)
        height = self._height[stop]
        return np.where((stop > start) & (height > -np.inf), height, np.nan)


def _numbered(time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`np.unique(time, return_inverse=True)` by a stable sort, which is quick where times are almost in order."""
    order = np.argsort(time, kind="stable")
    ticks = time[order]
    new = np.append(True, ticks[1:] != ticks[:-1])
    number = np.empty(len(time), np.int64)
    number[order] = np.cumsum(new) - 1
    return ticks[new], number


def order_by(time: np.ndarray, *keys: np.ndarray) -> np.ndarray:
    """`np.lexsort((time, *keys))`: by the last key first. Logs come almost in order of time, and whole numbers sort by
    radix, sixteen bits at a time: several times faster."""
    order = np.argsort(time, kind="stable")
    for key in keys if len(time) else ():
        offset = (key - key.min()).astype(np.uint64)
        for shift in range(0, int(offset.max()).bit_length(), 16):
            digits = (offset >> np.uint64(shift)).astype(np.uint16)  # Keeps the lower sixteen bits.
            order = order[np.argsort(digits[order], kind="stable")]
    return order
