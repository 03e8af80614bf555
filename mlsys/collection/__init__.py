"""Collection: how events come in, how they are kept, and what happens to what is not an event."""

from mlsys.collection.fetch import SourceError
from mlsys.collection.files import Ingested, read_log
from mlsys.collection.lines import LogError
from mlsys.collection.log import Consumer, EventLog, LogLocked, OffsetOutOfRange
from mlsys.collection.mapping import Mapping, MappingError
from mlsys.collection.partition import CorruptLog, EventLogError
from mlsys.collection.schema import Column, Schema
from mlsys.collection.sources import Fetched, read_http, read_table
from mlsys.collection.stream import ExactlyOnce

__all__ = [
    "Column",
    "Consumer",
    "CorruptLog",
    "EventLog",
    "EventLogError",
    "ExactlyOnce",
    "Fetched",
    "Ingested",
    "LogError",
    "LogLocked",
    "Mapping",
    "MappingError",
    "OffsetOutOfRange",
    "Schema",
    "SourceError",
    "read_http",
    "read_log",
    "read_table",
]
