"""The model registry in one SQLite file: runs, what they measured, the models they made, and which of these serves.

An artifact is a row of the same file as what is said about it, so one transaction writes both: a killed process leaves
all of a version or nothing, and no version without its bytes. Verbs, names and tags: `mlsys.training.runs`.

The file has a rollback journal. At rest it is one file, to copy or to open from a read-only folder, and it works where
processes share no memory. A commit makes readers wait for milliseconds; a registry is written a few times a night, so
that write-ahead logging, which spares them that at the price of two files more, would buy nothing.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

from mlsys.core import MlsysError
from mlsys.training.artifact import ArtifactError
from mlsys.training.runs import ModelRegistry, ModelVersion, RegisteredModel, Run, data_hash

__all__ = ["ArtifactError", "ModelVersion", "RegisteredModel", "Registry", "RegistryUnavailable", "Run", "data_hash"]

SCHEMA = """
create table if not exists runs (run_id integer primary key autoincrement, status text not null, tags text not null);
create table if not exists logged (
  run_id integer not null references runs, kind text not null, key text not null, value,
  primary key (run_id, kind, key)
);
create table if not exists versions (
  name text not null, version integer not null, run_id integer not null references runs, tags text not null,
  artifact blob not null, primary key (name, version)
);
create table if not exists aliases (
  name text not null, alias text not null, version integer not null, sha256 text not null,
  primary key (name, alias), foreign key (name, version) references versions
);
"""

VERSIONS = """
select v.name, v.version, v.run_id, v.tags, (
  select json_group_array(alias) from (
    select alias from aliases a where a.name = v.name and a.version = v.version order by alias
  )
) from versions v
"""


class RegistryUnavailable(MlsysError):
    """The registry's file cannot be read or written."""


class Registry(ModelRegistry):
    """Without a path in memory. With one, durable, for any number of processes and threads of a machine.

    A copy or a pickle of either is a fork in memory: what happens to it does not reach the file.

    >>> import numpy as np
    >>> from mlsys.training import LinearModel, Signature
    >>> registry = Registry()
    >>> with registry.start_run({"rows": 1_000}) as run:
    ...     registry.log_metric(run, "auc", 0.71)
    ...     model = LinearModel("monday", Signature(("user:like_rate",), (0.2,)), np.array([3.0]), -1.0)
    ...     made = registry.register_model(model, "feed", run_id=run, tags={"dataset": "events@7"})
    >>> registry.set_registered_model_alias("feed", "champion", made.version)
    >>> registry.load_model("models:/feed@champion").version, registry.get_run(run).metrics
    ('monday', {'auc': 0.71})
    """

    def __init__(self, path: str | Path | None = None, *, name: str = "model", timeout: float = 30.0) -> None:
        super().__init__(name)
        self.path, self._timeout, self._lock, self._depth = path, timeout, RLock(), 0
        self._connect()
        with self._reported():
            self._db.executescript(SCHEMA)

    def create_run(self, tags: Mapping[str, str] | None = None) -> Run:
        """See `ModelRegistry`."""
        with self._together():
            self._sql("insert into runs (status, tags) values ('RUNNING', ?)", json.dumps(dict(tags or {})))
            return self.get_run(str(self._sql("select last_insert_rowid()")[0][0]))

    def get_run(self, run_id: str) -> Run:
        """See `ModelRegistry`."""
        with self._together(write=False):
            found = self._sql("select status, tags from runs where run_id = ?", run_id)
            rows = self._sql("select kind, key, value from logged where run_id = ? order by rowid", run_id)
        if not found:
            raise MlsysError(f"there is no run {run_id!r}", why="nothing began it", fix="registry.start_run()")
        status, tags = found[0]
        metrics = {key: float("nan") if value is None else value for kind, key, value in rows if kind == "metric"}
        return Run(run_id, status, {k: v for kind, k, v in rows if kind == "param"}, metrics, json.loads(tags))

    def log_params(self, run_id: str, params: Mapping[str, object]) -> None:
        """See `ModelRegistry`."""
        with self._together():
            before = self.get_run(run_id).params
            for key, value in params.items():
                if before.get(key, str(value)) != str(value):
                    raise MlsysError(
                        f"param {key!r} of run {run_id} is {before[key]!r} already, not {str(value)!r}",
                        why="a run has one set of settings",
                        fix="start another run; what changes as it goes is a metric",
                    )
                self._sql("insert or ignore into logged values (?, 'param', ?, ?)", run_id, key, str(value))

    def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """See `ModelRegistry`."""
        with self._together():
            self.get_run(run_id)
            for key, value in metrics.items():
                put = "insert into logged values (?, 'metric', ?, ?) on conflict do update set value = excluded.value"
                self._sql(put, run_id, key, float(value))

    def set_terminated(self, run_id: str, status: str = "FINISHED") -> None:
        """See `ModelRegistry`."""
        if status not in ("FINISHED", "FAILED", "KILLED"):
            raise MlsysError(f"a run does not end as {status!r}", why="MLflow knows three ends", fix="say FAILED")
        with self._together():
            self.get_run(run_id)
            self._sql("update runs set status = ? where run_id = ?", status, run_id)

    def search_model_versions(self, filter_string: str = "") -> list[ModelVersion]:
        """See `ModelRegistry`."""
        terms = re.split(r"\s+and\s+", filter_string.strip(), flags=re.IGNORECASE) if filter_string.strip() else []
        found = [re.fullmatch(r"(name|run_id)\s*=\s*(['\"])(.*)\2", term) for term in terms]
        wanted = [(term[1], term[3]) for term in found if term]
        if len(wanted) < len(terms):
            why = "here: equality of name or run_id, joined by and"
            raise MlsysError(f"{filter_string!r} is no filter", why=why, fix="name = 'feed_like'")
        where = " and ".join(f"v.{column} = ?" for column, _ in wanted) or "true"
        rows = self._sql(f"{VERSIONS} where {where} order by v.rowid desc", *(value for _, value in wanted))
        return [self._version(*row) for row in rows]

    def get_model_version(self, name: str, version: int) -> ModelVersion:
        """See `ModelRegistry`."""
        rows = self._sql(f"{VERSIONS} where v.name = ? and v.version = ?", name, int(version))
        if not rows:
            what = f"there is no version {version} of {name!r}"
            raise MlsysError(what, why=self._known(name), fix="register_model it first")
        return self._version(*rows[0])

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """See `ModelRegistry`."""
        with self._together(write=False):
            rows = self._sql("select version, sha256 from aliases where name = ? and alias = ?", name, alias)
            if not rows:
                raise MlsysError(
                    f"nothing of {name!r} has the alias {alias!r}",
                    why=self._known(name),
                    fix=f"set_registered_model_alias({name!r}, {alias!r}, version)",
                )
            found = self.get_model_version(name, rows[0][0])
        if found.tags.get("sha256") != rows[0][1]:
            raise ArtifactError(
                f"{alias} of {name} points at another model than it was set to",
                why=f"version {found.version} has another SHA-256: the file was changed, not by this package",
                fix="set the alias again",
            )
        return found

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """See `ModelRegistry`."""
        with self._together():
            self._sql("delete from aliases where name = ? and alias = ?", name, alias)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _create(self, name: str, artifact: bytes, run_id: str, tags: dict[str, str]) -> ModelVersion:
        with self._together():
            self.get_run(run_id)
            ((version,),) = self._sql("select coalesce(max(version), 0) + 1 from versions where name = ?", name)
            put = "insert into versions values (?, ?, ?, ?, ?)"
            self._sql(put, name, version, run_id, json.dumps(tags), artifact)
        return ModelVersion(name, version, run_id, tags)

    def _artifact(self, version: ModelVersion) -> bytes:
        ask = "select cast(artifact as blob) from versions where name = ? and version = ?"
        ((found,),) = self._sql(ask, version.name, version.version)
        return found or b""

    def _point(self, version: ModelVersion, alias: str) -> None:
        with self._together():
            put = "insert or replace into aliases values (?, ?, ?, ?)"
            self._sql(put, version.name, alias, version.version, version.tags["sha256"])

    def _known(self, name: str) -> str:
        found = self._sql("select version from versions where name = ? order by version", name)
        return f"registered: {', '.join(str(version) for (version,) in found) or 'none'}"

    def _version(self, name: str, version: int, run_id: int, tags: str, aliases: str) -> ModelVersion:
        with self._reported():
            return ModelVersion(name, version, str(run_id), dict(json.loads(tags)), tuple(json.loads(aliases)))

    def _connect(self) -> None:
        with self._reported():
            where = ":memory:" if self.path is None else self.path
            self._db = sqlite3.connect(where, self._timeout, isolation_level=None, check_same_thread=False)
            self._db.execute("pragma synchronous = extra")  # The folder as well, once the journal is gone from it.

    def _sql(self, query: str, *values: object) -> list[Any]:
        with self._lock, self._reported():
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _together(self, write: bool = True) -> Iterator[None]:
        """One transaction, also around verbs that have their own."""
        with self._lock:
            if not self._depth:
                self._sql("begin immediate" if write else "begin")
            self._depth += 1
            try:
                yield
                if self._depth == 1:
                    self._sql("commit")
            except BaseException:
                if self._depth == 1 and self._db.in_transaction:
                    self._sql("rollback")
                raise
            finally:
                self._depth -= 1

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise RegistryUnavailable(
                f"the model registry {self.path or 'in memory'} does not answer: {error}",
                why="SQLite could not read or write the file",
                fix="check the path, the disk and who else holds the file; a server goes on with the model it has",
            ) from error

    def __getstate__(self) -> dict[str, object]:
        with self._lock, self._reported():
            return {"name": self.name, "data": self._db.serialize()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__init__(state["name"])
        self.path, self._timeout, self._lock, self._depth = None, 30.0, RLock(), 0
        self._connect()
        self._db.deserialize(state["data"])

    def __del__(self) -> None:
        if "_db" in vars(self):
            self._db.close()
