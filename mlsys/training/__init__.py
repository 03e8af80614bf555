"""From labelled rows to a model that carries its own signature."""

from mlsys.training.datasets import Split, label, time_split
from mlsys.training.models import LinearModel, Model, Signature, TreeModel, ValueModel

__all__ = ["LinearModel", "Model", "Signature", "Split", "TreeModel", "ValueModel", "label", "time_split"]
