"""Which models there are, and which one serves. In memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlsys.core import MlsysError
from mlsys.training.models import LinearModel, TreeModel, ValueModel

RegisteredModel = LinearModel | TreeModel | ValueModel


@dataclass
class Registry:
    """Versions in order of registration; `aliases` name some of them, such as "champion"."""

    models: dict[str, RegisteredModel] = field(default_factory=dict)
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)

    def register(self, model: RegisteredModel, **metrics: float) -> None:
        """Keep a model and its metrics under its version, which must be new."""
        if model.version in self.models:
            raise MlsysError(
                f"version {model.version!r} is taken",
                why="a version that means two models means neither",
                fix="count on",
            )
        self.models[model.version], self.metrics[model.version] = model, metrics

    def set_alias(self, alias: str, version: str) -> None:
        """Point an alias at a version; that is all a promotion or a rollback is."""
        if version not in self.models:
            known = ", ".join(self.models) or "none"
            raise MlsysError(f"there is no version {version!r}", why=f"registered: {known}", fix="register it first")
        self.aliases[alias] = version

    def get(self, alias: str) -> RegisteredModel:
        """The model an alias points at."""
        if alias not in self.aliases:
            raise MlsysError(
                f"nothing has the alias {alias!r}",
                why=f"aliases: {', '.join(self.aliases) or 'none'}",
                fix="set_alias it to a registered version",
            )
        return self.models[self.aliases[alias]]
