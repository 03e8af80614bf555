"""From labelled rows to a model that carries its own signature."""

from mlsys.training.datasets import Split, label, time_split
from mlsys.training.models import LinearModel, Signature

__all__ = ["LinearModel", "Signature", "Split", "label", "time_split"]
