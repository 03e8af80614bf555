"""What a file must go through so that a crash, or kill -9, at any moment does no harm."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


def sync(file: BinaryIO) -> None:
    """Wait until the disk has what was written. Writing alone tells only the operating system."""
    file.flush()
    os.fsync(file.fileno())


def replace(path: Path, data: Any) -> None:
    """Write JSON so that there is always the old file or the new one, whole."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        file.write(json.dumps(data).encode())
        sync(file)  # Before the renaming: else, after a power cut, the name might stand for an empty file.
    part.replace(path)
    if sys.platform != "win32":  # Windows cannot be asked to put the names of files on the disk.
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def lock(path: Path) -> BinaryIO | None:
    """Hold a lock of the operating system until the file is closed or the process ends, however it ends.

    None if another holds it.
    """
    file = path.open("ab")
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file
