"""`mlsys` with a date that jumps: as many microseconds as the file says, which another process writes.

python jumping.py FILE serve ...
"""

from __future__ import annotations

import mmap
import struct
import sys
from pathlib import Path

import numpy as np

from mlsys.cli import main
from mlsys.core import SystemClock

if __name__ == "__main__":
    with Path(sys.argv[1]).open("r+b") as file:
        offset = mmap.mmap(file.fileno(), 8)
    now = SystemClock.now

    def jumped(clock: SystemClock) -> np.datetime64:
        """The machine's date, moved."""
        return np.datetime64(now(clock) + np.timedelta64(struct.unpack("<q", offset)[0], "us"))

    SystemClock.now = jumped  # type: ignore[method-assign]
    sys.exit(main(sys.argv[2:]))
