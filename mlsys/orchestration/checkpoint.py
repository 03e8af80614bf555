"""Stop a long run anywhere and go on later: one file, replaced as a whole, refused when it is not what it says.

The file is a pickle of your own process. Do not load one that somebody sent you.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn

PACKAGE = Path(__file__).resolve().parents[1]


def key_of(*parts: object) -> str:
    """What a checkpoint belongs to: these settings, this code, these versions of the libraries. Hexadecimal SHA-256."""
    versions = (sys.version, np.__version__, pd.__version__, sklearn.__version__)
    digest = hashlib.sha256(repr((parts, versions)).encode())
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def save(path: Path, key: str, state: Any) -> None:
    """Write beside the file and rename: whoever reads finds the old state or the new one, never half of one."""
    body = pickle.dumps(state, protocol=5)
    head = f"{key} {hashlib.sha256(body).hexdigest()}\n".encode()
    beside = path.with_suffix(".tmp")
    with beside.open("wb") as file:
        file.write(head + body)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def load(path: Path, key: str) -> Any | None:
    """The state saved under this key; None when there is none, or it is of other settings or other code, or broken."""
    if not path.is_file():
        return None
    head, _, body = path.read_bytes().partition(b"\n")
    if head.decode("ascii", "replace") != f"{key} {hashlib.sha256(body).hexdigest()}":
        return None
    return pickle.loads(body)
