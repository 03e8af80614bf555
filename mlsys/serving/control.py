"""What all workers of a server do together: follow the registry's champion, and try the same challenger.

Workers share nothing but a folder. The champion is an alias of the registry; the rollout is one small file, written
whole or not at all. An admin call to any worker changes these, and every worker looks at them once in a while.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from mlsys.core import MlsysError
from mlsys.serving.deployment import Deployment
from mlsys.serving.rollout import Rollout

FILE = "rollout.json"


@dataclass(frozen=True)
class Wanted:
    """The challenger that is being tried: a version of the registry, and how."""

    version: int
    mode: str
    share: float
    salt: str


class Control:
    """The control file of a folder, and this worker's part in it."""

    def __init__(self, folder: str | Path, deployment: Deployment, model_name: str) -> None:
        self.path, self.deployment, self.name = Path(folder) / FILE, deployment, model_name
        self._tried: tuple[Wanted, Rollout] | None = None

    def read(self) -> Wanted | None:
        """What is to be tried; None: nothing."""
        try:
            return Wanted(**json.loads(self.path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise MlsysError(
                f"cannot read {FILE}: {error}",
                why="it was not written by this package",
                fix=f"delete {FILE}; no challenger is tried meanwhile",
            ) from error

    def write(self, wanted: Wanted | None) -> None:
        """Try this from now on, in all workers."""
        if wanted is None:
            self.path.unlink(missing_ok=True)
            return
        part = self.path.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(asdict(wanted)), encoding="utf-8")
        part.replace(self.path)

    def begin(self, version: int, mode: str, share: float) -> Wanted:
        """Check the challenger here, then have all workers try it."""
        model = self.deployment.registry.load_model(f"models:/{self.name}/{version}")
        self.deployment.server.check(model)
        wanted = Wanted(version, mode, share, f"{mode} of {self.name} version {version}")
        Rollout(model, mode, share, wanted.salt)  # refuses what cannot be
        self.write(wanted)
        self.look()
        return wanted

    def promote(self, version: int | None) -> int:
        """Make a version the champion: the one named, or the challenger. What served before is kept as `previous`."""
        wanted, registry = self.read(), self.deployment.registry
        if version is None and wanted is None:
            raise MlsysError("there is no challenger", why="no rollout has begun", fix='send {"version": 2}')
        chosen = version if version is not None or wanted is None else wanted.version
        assert chosen is not None
        model = registry.load_model(f"models:/{self.name}/{chosen}")
        self.deployment.server.check(model)
        before = registry.get_model_version_by_alias(self.name, "champion").version
        if before != chosen:
            registry.set_registered_model_alias(self.name, "previous", before)
        registry.set_registered_model_alias(self.name, "champion", chosen)
        self.write(None)
        self.look()
        return chosen

    def roll_back(self, reason: str) -> str:
        """Stop the rollout; without one, make `previous` the champion again. Says what was done."""
        registry, server = self.deployment.registry, self.deployment.server
        if (wanted := self.read()) is not None:
            self.write(None)
            if server.rollout is not None:
                server.roll_back(reason)
            return f"version {wanted.version} is no longer tried"
        before = registry.get_model_version_by_alias(self.name, "previous").version
        registry.set_registered_model_alias(self.name, "champion", before)
        registry.delete_registered_model_alias(self.name, "previous")
        self.look()
        return f"version {before} serves again"

    def look(self) -> None:
        """Do what registry and file ask for. What cannot be done is said once, and leaves everything as it was."""
        try:
            if self.deployment.follow() and self.deployment.server.predictions is not None:
                self.deployment.server.predictions.clear()
        except MlsysError as error:
            self.deployment.server.note_once("refused", f"champion: {error.what}")
        try:
            self._follow_rollout(self.read())
        except MlsysError as error:
            self.deployment.server.note_once("refused", f"challenger: {error.what}")

    def _follow_rollout(self, wanted: Wanted | None) -> None:
        server = self.deployment.server
        tried = None if self._tried is None else self._tried[0]
        if self._tried is not None and server.rollout is not self._tried[1]:
            # A guardrail took it back here: so it goes everywhere, unless something else is wanted by now.
            self._tried = None
            if wanted == tried:
                self.write(None)
                return
        if wanted == tried and self._tried is not None:
            return
        if self._tried is not None:
            self._tried, server.rollout = None, None
        if wanted is not None:
            model = self.deployment.registry.load_model(f"models:/{self.name}/{wanted.version}")
            rollout = Rollout(model, wanted.mode, wanted.share, wanted.salt)
            server.begin(rollout)
            self._tried = wanted, rollout
