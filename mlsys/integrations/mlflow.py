"""MLflow's tracking store and model registry behind the face of `mlsys.training.Registry`. Needs `pip install mlflow`.

A version is a pyfunc model of MLflow's whose one data file is our artifact: `load_model` reads that file here, and
`mlflow.pyfunc.load_model` reads the same in MLflow's own server. Neither unpickles anything. What else is in an MLflow
registry, such as a pickled scikit-learn model, is refused by name.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from mlsys.core import MlsysError
from mlsys.training.artifact import ArtifactError, loads
from mlsys.training.runs import ModelRegistry, ModelVersion, Run

FILE = "model.safetensors"
EVERY = 10_000
"""Versions of one answer, and of a page."""


class MlflowRegistry(ModelRegistry):
    """tracking_uri : `sqlite:///mlflow.db`, or a server's http address. artifacts : where a new experiment puts its
    files, a folder or a URI; MLflow's default if None. Artifacts lie beside the database, so a process killed while it
    registers may leave files that no version names, and an empty name."""

    def __init__(
        self, tracking_uri: str, *, name: str = "model", experiment: str = "mlsys", artifacts: str | Path | None = None
    ) -> None:
        super().__init__(name)
        self.tracking_uri = tracking_uri
        self._mlflow, where = _mlflow(), artifacts.resolve().as_uri() if isinstance(artifacts, Path) else artifacts
        with _reported():
            self._client = self._mlflow.MlflowClient(tracking_uri, registry_uri=tracking_uri)
            found = self._client.get_experiment_by_name(experiment)
            self._experiment = found.experiment_id if found else self._client.create_experiment(experiment, where)

    def create_run(self, tags: Mapping[str, str] | None = None) -> Run:
        """See `ModelRegistry`."""
        with _reported():
            return _run(self._client.create_run(self._experiment, tags=dict(tags or {})))

    def get_run(self, run_id: str) -> Run:
        """See `ModelRegistry`."""
        with _reported():
            return _run(self._client.get_run(run_id))

    def log_params(self, run_id: str, params: Mapping[str, object]) -> None:
        """See `ModelRegistry`."""
        with _reported():
            for key, value in params.items():
                self._client.log_param(run_id, key, value)

    def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """See `ModelRegistry`."""
        with _reported():
            for key, value in metrics.items():
                self._client.log_metric(run_id, key, float(value))

    def set_terminated(self, run_id: str, status: str = "FINISHED") -> None:
        """See `ModelRegistry`."""
        with _reported():
            self._client.set_terminated(run_id, status)

    def search_model_versions(self, filter_string: str = "") -> list[ModelVersion]:
        """See `ModelRegistry`."""
        with _reported():
            found = self._client.search_model_versions(filter_string, EVERY, ["creation_timestamp DESC"])
            # The list of a search has no aliases: MLflow 3 fills them in when one version is asked for.
            return [self.get_model_version(one.name, int(one.version)) for one in found]

    def get_model_version(self, name: str, version: int) -> ModelVersion:
        """See `ModelRegistry`."""
        with _reported():
            return _version(self._client.get_model_version(name, str(version)))

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """See `ModelRegistry`."""
        with _reported():
            found = self._client.get_model_version_by_alias(name, alias)
            return self.get_model_version(name, int(found.version))

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """See `ModelRegistry`."""
        with _reported():
            self._client.delete_registered_model_alias(name, alias)

    def _create(self, name: str, artifact: bytes, run_id: str, tags: dict[str, str]) -> ModelVersion:
        folder = f"model-{tags['sha256'][:16]}"
        with _reported(), tempfile.TemporaryDirectory() as scratch:
            self._client.get_run(run_id)
            data, whole = Path(scratch) / FILE, Path(scratch) / "pyfunc"
            data.write_bytes(artifact)
            schema = self._mlflow.types.Schema.from_json(tags["signature"])
            self._mlflow.pyfunc.save_model(
                whole,
                loader_module=__name__,
                data_path=str(data),
                signature=self._mlflow.models.ModelSignature(inputs=schema),
                pip_requirements=["mlsys"],
            )
            self._client.log_artifacts(run_id, str(whole), folder)
            with self._known_already():
                self._client.create_registered_model(name)
            return _version(self._client.create_model_version(name, f"runs:/{run_id}/{folder}", run_id, tags))

    def _artifact(self, version: ModelVersion) -> bytes:
        with _reported(), tempfile.TemporaryDirectory() as scratch:
            uri = self._client.get_model_version_download_uri(version.name, str(version.version))
            got = Path(self._mlflow.artifacts.download_artifacts(uri, None, None, scratch, self.tracking_uri))
            files = list(got.rglob(FILE))
            if len(files) != 1:
                raise ArtifactError(
                    f"{version.name} version {version.version} holds no {FILE}",
                    why="another library stored it, in a form of its own; a pickle among them is not opened",
                    fix="register the model through MlflowRegistry.register_model",
                )
            return files[0].read_bytes()

    def _point(self, version: ModelVersion, alias: str) -> None:
        with _reported():
            self._client.set_registered_model_alias(version.name, alias, str(version.version))

    @contextmanager
    def _known_already(self) -> Iterator[None]:
        try:
            yield
        except self._mlflow.exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


class _Served:
    """What MLflow's pyfunc asks for."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:
        """Scores, float64 (n,), columns by name."""
        return self.model.predict_array(model_input[list(self.model.signature.features)].to_numpy())


def _load_pyfunc(data_path: str) -> _Served:
    """MLflow calls this by its name, with the file that was saved."""
    return _Served(loads(Path(data_path).read_bytes()))


def _run(run: Any) -> Run:
    own = {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")}
    return Run(run.info.run_id, run.info.status, dict(run.data.params), dict(run.data.metrics), own)


def _version(found: Any) -> ModelVersion:
    return ModelVersion(
        found.name, int(found.version), found.run_id or "", dict(found.tags), tuple(sorted(found.aliases))
    )


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except _mlflow().exceptions.MlflowException as error:
        raise MlsysError(
            f"MLflow refuses: {json.dumps(error.message)[:300]}",
            why=f"its code is {error.error_code}",
            fix="check the name, version or run, and that the tracking server answers",
        ) from error


def _mlflow() -> Any:
    try:
        import mlflow.pyfunc
    except ImportError:
        raise MlsysError(
            "MlflowRegistry needs the package mlflow",
            why="it is not installed; mlsys.training.registry.Registry needs nothing",
            fix="pip install mlflow, into an environment of its own: it asks for older libraries",
        ) from None
    return mlflow
