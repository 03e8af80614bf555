"""Collection: how events come in, and what happens to what is not an event."""

from mlsys.collection.files import Ingested, read_log
from mlsys.collection.lines import LogError
from mlsys.collection.mapping import Mapping, MappingError

__all__ = ["Ingested", "LogError", "Mapping", "MappingError", "read_log"]
