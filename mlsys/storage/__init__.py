"""Storage: versioned datasets on plain files, described by manifests."""

from mlsys.storage.access import AccessDenied
from mlsys.storage.dataset import Dataset, Erased, Vacuumed, WriteConflict
from mlsys.storage.files import CorruptDataset, DatasetError
from mlsys.storage.manifest import Diff, Version

__all__ = [
    "AccessDenied",
    "CorruptDataset",
    "Dataset",
    "DatasetError",
    "Diff",
    "Erased",
    "Vacuumed",
    "Version",
    "WriteConflict",
]
