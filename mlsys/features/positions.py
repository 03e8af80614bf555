"""Where an id stands in a sorted array of ids."""

from __future__ import annotations

import numpy as np


class Positions:
    """Positions of ids, by address where ids are dense, by binary search where they are not.

    ids : int64 (n,), ascending, each once.

    >>> Positions(np.array([3, 5, 6])).of(np.array([5, 4, -1, 3])).tolist()
    [1, 3, 3, 0]
    """

    def __init__(self, ids: np.ndarray) -> None:
        self.ids = ids
        self._address: np.ndarray | None = None
        if len(ids) and ids[0] >= 0 and ids[-1] < 16 * len(ids) + 4096:
            self._address = np.full(int(ids[-1]) + 2, len(ids))
            self._address[ids] = np.arange(len(ids))

    def of(self, ids: np.ndarray) -> np.ndarray:
        """int64, the shape of `ids`, which are contiguous int64; n for an id that is not there."""
        if self._address is not None:
            # As unsigned numbers, negative ids are the largest: they share the last address, which is nobody's.
            return self._address.take(np.minimum(ids.view(np.uint64), len(self._address) - 1).view(np.int64))
        row = np.searchsorted(self.ids, ids)
        if not len(self.ids):
            return row
        return np.where(self.ids[np.minimum(row, len(self.ids) - 1)] == ids, row, len(self.ids))
