"""What is defined, in which version, who uses it, and how far it has been put online.

A definition that changes gets a new version under the old name. The one before stays as `name@version`, so that a
model trained on `user@1:like_rate` is served what it learned from while the next one trains on `user:like_rate`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd

from mlsys.collection.durable import lock
from mlsys.collection.durable import replace as replace_file
from mlsys.core import MlsysError
from mlsys.features.definitions import Aggregation, Entity, FeatureService, FeatureView, OnDemandView
from mlsys.features.timeline import NEVER


class Registry:
    """Definitions of a store; with a path, kept in a JSON file that appears whole or not at all.

    Processes that share the file change it one at a time, each from what is there. What others changed is seen at the
    next change, or by a new `Registry`.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.views: dict[str, FeatureView | OnDemandView] = {}
        self.services: dict[str, FeatureService] = {}
        self.versions: dict[str, int] = {}
        self.materialized: dict[str, int] = {}
        """View → the instant its vectors are of, microseconds."""
        self._load()

    def apply(self, definition: FeatureView | OnDemandView | FeatureService) -> str | None:
        """Register it. Returns the name under which the version before is kept, if the meaning changed."""
        with self._changing():
            return self._apply(definition)

    def _apply(self, definition: FeatureView | OnDemandView | FeatureService) -> str | None:
        name, kept = definition.name, None
        if "@" in name or ":" in name:
            raise MlsysError(
                f"{name!r} has an @ or a colon",
                why="references read view:feature, and view@version:feature for an older one",
                fix="choose another name",
            )
        if isinstance(definition, FeatureService):
            self.resolve(definition.features)
            self.services[name] = definition
            return None
        before = self.views.get(name)
        if before is not None and before != definition:
            self._check_services(definition)
        if isinstance(before, FeatureView) and _meaning(before) != _meaning(definition):
            kept = f"{name}@{self.versions[name]}"
            self.views[kept] = replace(before, name=kept)
            self.materialized[kept] = self.materialized.pop(name, NEVER)
        if before is None:  # An on-demand view of the file's: a function, so applied again by every process.
            self.versions.setdefault(name, 1)
        elif _meaning(before) != _meaning(definition):
            self.versions[name] += 1
        self.views[name] = definition
        return kept

    def resolve(self, features: str | Sequence[str]) -> list[str]:
        """The references behind a service's name, or those given, if all exist."""
        if isinstance(features, str):
            if features not in self.services:
                raise MlsysError(
                    f"there is no feature service {features!r}",
                    why=f"registered: {', '.join(self.services) or 'none'}",
                    fix="apply(FeatureService(...)) first, or pass a list of view:feature references",
                )
            features = self.services[features].features
        known = {ref for view in self.views.values() for ref in view.refs}
        if not features:
            raise MlsysError(
                "no features were asked for", why="the list is empty", fix=f"known: {', '.join(self.features())}"
            )
        if unknown := [ref for ref in features if ref not in known]:
            raise MlsysError(
                f"unknown feature(s) {', '.join(unknown)}",
                why=f"registered: {', '.join(self.features()) or 'none'}",
                fix="references read view:feature, or view@1:feature for an older version",
            )
        return list(features)

    def views_of(self, refs: Sequence[str]) -> list[FeatureView | OnDemandView]:
        """The views of some references, each once, in order."""
        return [self.views[name] for name in dict.fromkeys(ref.split(":")[0] for ref in refs)]

    def features(self) -> list[str]:
        """References of the newest versions, in order of registration."""
        return [ref for view in self.views.values() if "@" not in view.name for ref in view.refs]

    def discover(self, search: str = "") -> pd.DataFrame:
        """One row per feature that has `search` somewhere in it: feature, version, operation, reads, window_days,
        ttl_days, services, owner, description. `reads` are event columns: what breaks the feature if it changes."""
        rows = [row for view in self.views.values() for row in self._described(view)]
        found = [row for row in rows if search.lower() in " ".join(map(str, row)).lower()]
        columns = ["feature", "version", "operation", "reads", "window_days", "ttl_days", "services"]
        return pd.DataFrame(found, columns=[*columns, "owner", "description"])

    def stamp(self, view: str, end: int) -> None:
        """Note that a view's vectors are those of instant `end`, microseconds."""
        with self._changing():
            self.materialized[view] = end

    def _described(self, view: FeatureView | OnDemandView) -> Iterator[tuple[object, ...]]:
        name, _, version = view.name.partition("@")
        number = int(version) if version else self.versions[name]
        for i, ref in enumerate(view.refs):
            users = ", ".join(service.name for service in self.services.values() if ref in service.features)
            if isinstance(view, OnDemandView):
                yield ref, number, "on demand", ", ".join(view.inputs), None, None, users, "", ""
                continue
            a = view.aggregations[i]
            reads = ", ".join(dict.fromkeys([view.entity.join_key, *([a.column] if a.column else [])]))
            yield ref, number, a.operation, reads, a.window_days, view.ttl_days, users, view.owner, view.description

    def _check_services(self, definition: FeatureView | OnDemandView) -> None:
        for service in self.services.values():
            asked = {ref for ref in service.features if ref.split(":")[0] == definition.name}
            if gone := sorted(asked - set(definition.refs)):
                raise MlsysError(
                    f"view {definition.name!r} would lose {', '.join(gone)}",
                    why=f"service {service.name!r} serves from it",
                    fix="keep the feature, or apply a service without it first",
                )

    def _load(self) -> None:
        """Definitions as they were saved; on-demand views hold functions and are applied by every process."""
        if self.path is None or not self.path.exists():
            return
        data = json.loads(self.path.read_text(encoding="utf-8"))
        for saved in data["views"]:
            aggregations = tuple(Aggregation(**a) for a in saved.pop("aggregations"))
            entity = Entity(**saved.pop("entity"))
            self.views[saved["name"]] = FeatureView(entity=entity, aggregations=aggregations, **saved)
        self.services = {name: FeatureService(name, tuple(refs)) for name, refs in data["services"].items()}
        self.versions, self.materialized = data["versions"], data["materialized"]

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """From what the file says now, to what it says next; an error changes nothing in it."""
        if self.path is None:
            yield
            return
        held = lock(self.path.with_suffix(".lock"))
        if held is None:
            raise MlsysError(
                f"another process is changing {self.path.name}",
                why="two changes at once would lose one of them",
                fix="call again",
            )
        with held:
            self._load()
            yield
            data = {
                "views": [asdict(view) for view in self.views.values() if isinstance(view, FeatureView)],
                "services": {name: service.features for name, service in self.services.items()},
                "versions": self.versions,
                "materialized": self.materialized,
            }
            replace_file(self.path, data)


def _meaning(view: FeatureView | OnDemandView) -> object:
    return replace(view, owner="", description="") if isinstance(view, FeatureView) else view
