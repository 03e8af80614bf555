"""What every model registry has in common: MLflow's verbs, and what is checked before anything serves.

A *run* is one training: parameters, metrics, a status. A *model version* is an artifact of a run under a name, counted
from 1, with tags that say what it was made of. An *alias* points at one version of a name; promotion and rollback move
it. `mlsys.training.registry` keeps all of it in one SQLite file, `mlsys.integrations.mlflow` in MLflow.

Tags that every version has: `sha256` of the artifact, `signature` (MLflow's JSON: names and types, in order), `version`
(the model's own). Lineage goes into tags as well, under these names: `feature_service`, `feature_versions`, `dataset`,
`data_hash`, `parent`.
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlsys.core import MlsysError
from mlsys.training.artifact import ArtifactError, dumps, loads
from mlsys.training.calibration import CalibratedModel
from mlsys.training.models import LinearModel, Model, TreeModel, ValueModel

RegisteredModel = LinearModel | TreeModel | ValueModel | CalibratedModel


@dataclass(frozen=True)
class Run:
    """One training. `status`: RUNNING, FINISHED, FAILED or KILLED; one that was killed from outside stays RUNNING."""

    run_id: str
    status: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]


@dataclass(frozen=True)
class ModelVersion:
    """Version `version` of the model `name`, made by a run; see the module for its tags."""

    name: str
    version: int
    run_id: str
    tags: dict[str, str]
    aliases: tuple[str, ...] = ()


class ModelRegistry(ABC):
    """`name`: the model that `register`, `set_alias` and `get` speak of; the verbs below them take any name."""

    def __init__(self, name: str = "model") -> None:
        self.name = name
        self._served: dict[int, RegisteredModel] = {}

    @abstractmethod
    def create_run(self, tags: Mapping[str, str] | None = None) -> Run:
        """A new run, RUNNING."""

    @abstractmethod
    def get_run(self, run_id: str) -> Run:
        """What is known of a run."""

    @abstractmethod
    def log_params(self, run_id: str, params: Mapping[str, object]) -> None:
        """Settings, kept as text. One that is logged already cannot change."""

    @abstractmethod
    def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Measurements; the last value stays."""

    @abstractmethod
    def set_terminated(self, run_id: str, status: str = "FINISHED") -> None:
        """End a run as FINISHED, FAILED or KILLED."""

    @abstractmethod
    def search_model_versions(self, filter_string: str = "") -> list[ModelVersion]:
        """Versions, newest first. A filter is MLflow's: `name = 'feed'`, `run_id = '7'`, joined by `and`."""

    @abstractmethod
    def get_model_version(self, name: str, version: int) -> ModelVersion:
        """One version."""

    @abstractmethod
    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """The version that an alias points at."""

    @abstractmethod
    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Forget an alias; the version stays. Deleting none is no error."""

    @abstractmethod
    def _create(self, name: str, artifact: bytes, run_id: str, tags: dict[str, str]) -> ModelVersion: ...

    @abstractmethod
    def _artifact(self, version: ModelVersion) -> bytes: ...

    @abstractmethod
    def _point(self, version: ModelVersion, alias: str) -> None: ...

    def _together(self) -> AbstractContextManager[object]:
        """All of it or nothing, where the store can."""
        return nullcontext()

    def log_param(self, run_id: str, key: str, value: object) -> None:
        """See `log_params`."""
        self.log_params(run_id, {key: value})

    def log_metric(self, run_id: str, key: str, value: float) -> None:
        """See `log_metrics`."""
        self.log_metrics(run_id, {key: value})

    def log_trial(self, settings: Mapping[str, object], metrics: Mapping[str, float]) -> str:
        """A run for one trial of a search, FAILED without metrics: random_search(..., on_trial=registry.log_trial)."""
        with self._together():
            run_id = self.create_run().run_id
            self.log_params(run_id, settings)
            self.log_metrics(run_id, metrics)
            self.set_terminated(run_id, "FINISHED" if metrics else "FAILED")
        return run_id

    @contextmanager
    def start_run(self, params: Mapping[str, object] | None = None) -> Iterator[str]:
        """A run for the length of a block, which is given its id; FAILED if the block raises."""
        run_id = self.create_run().run_id
        try:
            self.log_params(run_id, params or {})
            yield run_id
        except BaseException:
            self.set_terminated(run_id, "FAILED")
            raise
        self.set_terminated(run_id)

    def register_model(
        self, model: Model, name: str, *, run_id: str, tags: Mapping[str, str] | None = None
    ) -> ModelVersion:
        """The next version of `name`, from a run. `ArtifactError` for a model that cannot be stored as data."""
        if not name or set(name) & set("/:@'\""):
            raise MlsysError(f"{name!r} is no name of a model", why="URIs read models:/name@alias", fix="use feed_like")
        artifact = dumps(model)
        inputs = [{"name": feature, "type": "double", "required": False} for feature in model.signature.features]
        known = {
            "sha256": hashlib.sha256(artifact).hexdigest(),
            "signature": json.dumps(inputs),
            "version": model.version,
        }
        return self._create(name, artifact, run_id, {**(tags or {}), **known})

    def set_registered_model_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias at a version, once it has been loaded: one that is damaged never serves."""
        if not re.fullmatch(r"[\w-]+", alias) or alias == "latest" or re.fullmatch(r"v\d+", alias):
            raise MlsysError(
                f"{alias!r} is no alias",
                why="letters, digits, _ and -; latest and v1 mean versions",
                fix="use champion or challenger",
            )
        found = self.get_model_version(name, version)
        self._load(found)
        self._point(found, alias)

    def load_model(self, model_uri: str) -> RegisteredModel:
        """The model behind `models:/name@alias` or `models:/name/3`, read and checked anew at every call.

        `ArtifactError` if it is not, byte for byte, what was registered: keep what you serve.
        """
        parts = re.fullmatch(r"models:/([^/@]+)(?:@([^/@]+)|/(\d+))", model_uri)
        if parts is None:
            raise MlsysError(
                f"{model_uri!r} names no model",
                why="a URI says which name, and which version or alias of it",
                fix="models:/feed_like@champion, or models:/feed_like/3",
            )
        name, alias, version = parts.groups()
        return self._load(
            self.get_model_version_by_alias(name, alias) if alias else self.get_model_version(name, int(version))
        )

    def _load(self, version: ModelVersion) -> RegisteredModel:
        data = self._artifact(version)
        if hashlib.sha256(data).hexdigest() != version.tags.get("sha256"):
            raise ArtifactError(
                f"the artifact of {version.name} version {version.version} is damaged",
                why="its SHA-256 is not the one it was registered with",
                fix="serve another version, and register this one again from its run",
            )
        model: RegisteredModel = loads(data)
        return model

    # One model's registry, as a loop needs it: versions by the models' own names for themselves.

    @property
    def models(self) -> dict[str, ModelVersion]:
        """The model's own version → what is known of it, in order of registration."""
        return {v.tags["version"]: v for v in reversed(self.search_model_versions(f"name = '{self.name}'"))}

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """The model's own version → the metrics of its run, in order of registration."""
        return {own: self.get_run(version.run_id).metrics for own, version in self.models.items()}

    @property
    def aliases(self) -> dict[str, str]:
        """Alias → the model's own version."""
        return {alias: own for own, version in self.models.items() for alias in version.aliases}

    def register(self, model: RegisteredModel, *, tags: Mapping[str, str] | None = None, **metrics: float) -> None:
        """A finished run with these metrics, and the model it made, whose version must be new."""
        with self._together():
            if model.version in self.models:
                raise MlsysError(
                    f"version {model.version!r} is taken",
                    why="a version that means two models means neither",
                    fix="count on",
                )
            with self.start_run() as run_id:
                self.log_metrics(run_id, metrics)
                made = self.register_model(model, self.name, run_id=run_id, tags=tags)
        self._served[made.version] = model

    def set_alias(self, alias: str, version: str) -> None:
        """Point an alias at a version; that is all a promotion or a rollback is."""
        models = self.models
        if version not in models:
            known = ", ".join(models) or "none"
            raise MlsysError(f"there is no version {version!r}", why=f"registered: {known}", fix="register it first")
        self.set_registered_model_alias(self.name, alias, models[version].version)

    def get(self, alias: str) -> RegisteredModel:
        """The model an alias points at, read once and then held: versions do not change."""
        if alias not in (aliases := self.aliases):
            raise MlsysError(
                f"nothing has the alias {alias!r}",
                why=f"aliases: {', '.join(aliases) or 'none'}",
                fix="set_alias it to a registered version",
            )
        version = self.get_model_version_by_alias(self.name, alias)
        if version.version not in self._served:
            self._served[version.version] = self._load(version)
        return self._served[version.version]


def data_hash(*data: pd.DataFrame | pd.Series) -> str:
    """SHA-256 of training rows, hexadecimal: their values, index, order, and the columns' names.

    >>> one = pd.DataFrame({"a": [1.0, 2.0]})
    >>> data_hash(one) == data_hash(one.copy()), data_hash(one) == data_hash(one[::-1])
    (True, False)
    """
    digest = hashlib.sha256()
    for part in data:
        digest.update(repr(list(part.columns) if isinstance(part, pd.DataFrame) else part.name).encode())
        digest.update(np.asarray(pd.util.hash_pandas_object(part), "<u8").tobytes())
    return digest.hexdigest()
