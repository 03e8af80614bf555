"""A durable, append-only event log, in Kafka's words and small enough to read in one sitting.

A *topic* is a folder. Its events are spread over *partitions* by a hash of a key, so that the events of one user stay
in order. A partition is one file that only grows (`partition.py`); an event's place in it is its *offset*, from 0.
A *consumer group* is a name with one offset per partition: how far it has read, *committed* when the work on those
events is done.

    topic/topic.json             partitions, key, every schema there ever was
    topic/0.log, 1.log           the partitions
    topic/0.torn                 what was cut off the end of 0.log after a crash, if anything ever was
    topic/groups/<group>.json    committed offsets
    topic/lock                   held by the writer; the system frees it however the writer ends

What Kafka adds: replicas on other machines, segments (here, opening reads every byte once), old events deleted after
a while, and the partitions of a topic shared out among the members of a group.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from mlsys.collection.durable import lock, replace
from mlsys.collection.partition import EventLogError, Partition
from mlsys.collection.schema import Schema


class LogLocked(EventLogError):
    """Another writer has the topic open."""


class OffsetOutOfRange(EventLogError):
    """The partition has no such offset."""


class EventLog:
    """A topic in a folder. With `schema` it is opened to append (one writer at a time), without it to read.

    Opened to append, it cuts off what a crash left behind the last whole batch; `notes` says so and the bytes are
    kept. A schema that differs goes through `Schema.evolve`. `partitions` (2) and `key` ("user_id") are chosen when
    the topic is made. Any number of processes may read meanwhile. Not for use by several threads at once.

    Raises `LogLocked`, `CorruptLog`, `SchemaError` if the schema would mislead readers, `EventLogError` otherwise.

    >>> import tempfile
    >>> folder, clicks = tempfile.TemporaryDirectory(), pd.DataFrame({"user_id": [1, 2, 1], "post_id": [7, 8, 9]})
    >>> with EventLog(folder.name, "clicks", schema=Schema.of(clicks)) as log:
    ...     acknowledged = log.append(clicks)
    >>> consumer = Consumer(EventLog(folder.name, "clicks"), "trainer")
    >>> sorted(consumer.poll()["post_id"]), sum(consumer.lag.values())
    ([7, 8, 9], 0)
    >>> sum(Consumer(consumer.log, "trainer").lag.values())  # It never committed: it would get them again.
    3
    >>> folder.cleanup()
    """

    def __init__(
        self,
        folder: str | Path,
        topic: str = "events",
        *,
        partitions: int | None = None,
        schema: Schema | None = None,
        key: str | None = None,
    ) -> None:
        self.folder, self.topic = Path(folder) / _file_name(topic), topic
        self.notes: tuple[str, ...] = ()
        self._lock: BinaryIO | None = None
        if schema is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock(self.folder / "lock")
            if self._lock is None:
                raise LogLocked(
                    f"topic {topic!r} in {folder} has a writer already",
                    why="one writer at a time gives out the offsets",
                    fix="close() the other one, or end its process; to read, open it without schema=",
                )
        try:
            self._open(schema, {"partitions": partitions, "key": key})
        except BaseException:
            self.close()
            raise

    def _open(self, schema: Schema | None, asked: dict[str, Any]) -> None:
        path = self.folder / "topic.json"
        stored: dict[str, Any] = {"partitions": asked["partitions"] or 2, "key": asked["key"] or "user_id"}
        if path.exists():
            stored = json.loads(path.read_text(encoding="utf-8"))
        elif schema is None:
            raise EventLogError(
                f"there is no topic {self.topic!r} in {self.folder.parent}",
                why="it was opened to read, and reading makes nothing",
                fix="name another folder, or make it: EventLog(folder, topic, schema=Schema.of(events))",
            )
        for name, value in asked.items():
            if value not in (None, stored[name]):
                raise EventLogError(
                    f"topic {self.topic!r} has {name} {stored[name]!r}, not {value!r}",
                    why="the events of a user would move to another partition, and lose their order",
                    fix=f"open it without {name}=, or copy its events into a new topic",
                )
        self.key: str = stored["key"]
        self._schemas = [Schema.load(columns) for columns in stored.get("schemas", [])]
        self._partitions = [Partition(self.folder / f"{number}.log") for number in range(stored["partitions"])]
        if schema is None:
            return
        merged = self._schemas[-1].evolve(schema) if self._schemas else schema
        if self.key not in merged.names:
            raise EventLogError(
                f"the schema has no column {self.key!r}",
                why="it is the key: its hash says to which partition an event goes",
                fix=f'name another, for example key="{merged.names[0]}"',
            )
        if merged not in self._schemas[-1:]:  # On disk before any batch names it.
            (self.folder / "groups").mkdir(exist_ok=True)
            for part in self._partitions:
                part.path.touch()
            self._schemas.append(merged)
            replace(path, {**stored, "schemas": [version.dump() for version in self._schemas]})
        self.notes = tuple(note for part in self._partitions if (note := part.recover()))

    @property
    def schema(self) -> Schema:
        """The newest schema: what `append` takes and `read` gives."""
        return self._schemas[-1]

    def append(self, events: pd.DataFrame) -> dict[int, int]:
        """Add events; returns {partition: its next offset} for the partitions that got some.

        Returning is the acknowledgement: the disk has the events. A crash before that may leave those of one
        partition and not those of another. Nothing was acknowledged, so the producer appends all of them again, and
        some are there twice: *at least once*. Their event ids tell (`ExactlyOnce` in `stream.py`).

        Raises `SchemaError`, and writes nothing, if a row does not fit. If the disk fails, the log closes: opening it
        again finds out what is whole.
        """
        frame = self.schema.enforce(events)
        if self._lock is None:
            raise EventLogError(
                f"topic {self.topic!r} is not open to append",
                why="it was opened without a schema, or closed, by you or by an append that failed",
                fix="EventLog(folder, topic, schema=...), and append again what was not acknowledged",
            )
        number = _hash(frame[self.key]) % len(self._partitions)
        ends = {}
        try:
            for i in np.unique(number).tolist():
                self._partitions[i].append(frame[number == i], len(self._schemas) - 1)
                ends[i] = self._partitions[i].end
        except BaseException:  # Ctrl-C too: half a batch may be in the file, and nothing may go behind it.
            self.close()
            raise
        return ends

    def read(self, partition: int, offset: int, max_rows: int = 10_000) -> pd.DataFrame:
        """At most `max_rows` events from `offset` on, under the newest schema; the index is the offset.

        Columns that an event was written without are null. Categories are those that occur. Raises
        `OffsetOutOfRange`, `CorruptLog`.
        """
        ends = self.end_offsets()
        if not 0 <= offset <= ends.get(partition, -1):
            raise OffsetOutOfRange(
                f"partition {partition} of topic {self.topic!r} has no offset {offset}",
                why=f"its partitions end at {ends}",
                fix="seek to an offset up to these; if more had been read, the log lost events: append those again",
            )
        stop = min(offset + max_rows, ends[partition])
        batches = list(self._partitions[partition].batches(offset, stop)) if offset < stop else []
        if any(batch.schema >= len(self._schemas) for batch in batches):  # The writer has a newer one by now.
            stored = json.loads((self.folder / "topic.json").read_text(encoding="utf-8"))
            self._schemas = [Schema.load(columns) for columns in stored["schemas"]]
        frames = [b.decode(self._schemas).iloc[max(0, offset - b.offset) : stop - b.offset] for b in batches]
        return _join(frames, self.schema).set_index(pd.RangeIndex(offset, stop, name="offset"))

    def end_offsets(self) -> dict[int, int]:
        """Per partition, the offset that the next event will have."""
        for part in self._partitions:
            part.refresh()
        return {number: part.end for number, part in enumerate(self._partitions)}

    def close(self) -> None:
        """Let another writer in. Reading goes on."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Consumer:
    """One reader of a topic, under the name of its group; it begins at what the group committed.

    poll, work, commit: one that dies between poll and commit gets those events again (at least once). `position` is,
    per partition, the next offset that `poll` gives. A group has one member at a time here: two would both get every
    event, and the last commit would win.
    """

    def __init__(self, log: EventLog, group: str) -> None:
        self.log, self.group = log, group
        self._path = log.folder / "groups" / f"{_file_name(group)}.json"
        self.position = dict.fromkeys(log.end_offsets(), 0)
        if self._path.exists():
            committed = json.loads(self._path.read_text(encoding="utf-8"))
            self.position = {partition: committed[str(partition)] for partition in self.position}
        self._order = list(self.position)

    def poll(self, max_rows: int = 10_000) -> pd.DataFrame:
        """The next events, at most `max_rows`; the index says where each is: (partition, offset)."""
        self._order.append(self._order.pop(0))  # By turns: a busy partition must not keep the others waiting.
        frames: dict[int, pd.DataFrame] = {}
        for partition in self._order:
            frames[partition] = self.log.read(partition, self.position[partition], max_rows)
            max_rows -= len(frames[partition])
        self.position |= {partition: self.position[partition] + len(frame) for partition, frame in frames.items()}
        partitions = np.repeat(list(frames), list(map(len, frames.values())))
        offsets = np.concatenate([frame.index for frame in frames.values()])
        index = pd.MultiIndex.from_arrays([partitions, offsets], names=["partition", "offset"])
        return _join(list(frames.values()), self.log.schema).set_index(index)

    def commit(self) -> None:
        """Make the position durable: the work on everything polled so far is done."""
        replace(self._path, self.position)

    def seek(self, partition: int, offset: int) -> None:
        """Go to an offset, from 0 to the end; nothing is committed. Raises `OffsetOutOfRange`."""
        self.log.read(partition, offset, 0)
        self.position[partition] = offset

    @property
    def lag(self) -> dict[int, int]:
        """Per partition, the events that are there and not polled yet."""
        return {partition: end - self.position[partition] for partition, end in self.log.end_offsets().items()}


def _join(frames: list[pd.DataFrame], schema: Schema) -> pd.DataFrame:
    """All rows under this schema; categories in the order in which they occur."""
    frames = [schema.conform(frame) for frame in frames or [pd.DataFrame()]]
    found: dict[str, Any] = {}
    for column in schema.columns:
        parts = [frame[column.name] for frame in frames]
        category = column.dtype == "category"
        found[column.name] = pd.api.types.union_categoricals(parts) if category else np.concatenate(parts)
    return pd.DataFrame(found)


def _hash(keys: pd.Series) -> np.ndarray:
    """uint64 per key, the same in every process: for equal numbers of any width, for equal text in any category."""
    numbers = pd.api.types.is_integer_dtype(keys)
    return pd.util.hash_array(keys.to_numpy(np.int64 if numbers else object))


def _file_name(name: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", name):
        return name
    raise EventLogError(f"{name!r} is not a name", why="it names a file", fix='use letters, digits, "-", "_" and "."')
