"""One typed configuration for the whole system: file, then environment, then overrides.

A configuration is a value: it is validated once, has a version (a hash of its content) and can be compared with
another. "Which configuration served this request?" then has an answer.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mlsys.core import MlsysError

FLAGS = ("serve_popularity",)
"""`serve_popularity`: the kill switch; the server ranks by popularity and leaves the model alone. A flag is on for
everybody, or with a share for some users: `serve_popularity=0.05`; the same ones when the share grows."""

CHOICES = {"training.estimator": ("trees", "linear"), "training.objective": ("like", "value")}
"""Settings that are one of a few words."""


class ConfigError(MlsysError):
    """A setting is unknown, of the wrong type, or out of range."""


@dataclass(frozen=True)
class ModelConfig:
    """What the model is called in responses and metrics."""

    name: str = "feed_like"
    version: str = "1"


@dataclass(frozen=True)
class FeatureConfig:
    """`window_days` and `ttl_days`: 0 means all events, and values that never expire."""

    window_days: float = 7.0
    ttl_days: float = 7.0


@dataclass(frozen=True)
class TrainingConfig:
    """What a model is trained on and judged by.

    lookback_days, max_rows : how far back training rows go, and at most how many of them, the newest first.
    test_share : the share of a log's rows, the last in time, that its model is tested on.
    estimator : "trees" or "linear".
    objective : "like" ranks by P(like); "value" by P(like) + P(share) - 3 P(dislike).
    every_days : the daily loop trains so often; 0: not after its warm-up.
    tolerance : how much test AUC a new model may lose against the one that serves.
    """

    lookback_days: int = 30
    max_rows: int = 60_000
    test_share: float = 0.3
    estimator: str = "trees"
    objective: str = "like"
    every_days: int = 1
    tolerance: float = 0.01


@dataclass(frozen=True)
class ServingConfig:
    """The latency promise, what stands behind it, and what `mlsys serve` does when it cannot be kept.

    max_latency_ms : p99; after so long, popularity answers. replicas, candidates : servers, posts ranked per request.
    explore : share of sessions whose order is shuffled, so that the log knows of posts the model would not show.
    online : "" is the folder's own store, or redis://host:port/db. registry : "" is the folder's own, or an MLflow URI.
    feature_ttl_seconds, prediction_ttl_seconds : how old a cached vector, a cached answer may be; 0: no cache.
    store_timeout_ms : a remote read is given up after so long. threads : requests that read a remote store at once.
    max_in_flight : more requests than these at once are refused.
    reload_seconds : how often the registry is asked for its champion. drain_seconds : from SIGTERM, or Ctrl-C, until no
    connection is taken any more; a load balancer sees /health/ready fail meanwhile.
    """

    max_latency_ms: float = 50.0
    replicas: int = 10
    candidates: int = 500
    explore: float = 0.02
    online: str = ""
    registry: str = ""
    feature_ttl_seconds: float = 300.0
    prediction_ttl_seconds: float = 60.0
    store_timeout_ms: float = 20.0
    threads: int = 8
    max_in_flight: int = 64
    reload_seconds: float = 2.0
    drain_seconds: float = 2.0


@dataclass(frozen=True)
class MonitoringConfig:
    """Effect size and false discovery rate that an alert needs, and the smallest batch that is judged."""

    min_psi: float = 0.1
    rate: float = 0.01
    min_rows: int = 200


@dataclass(frozen=True)
class SystemConfig:
    """Everything that may differ between two runs of the same code.

    >>> config = SystemConfig.load(overrides={"serving.replicas": 12})
    >>> SystemConfig().diff(config)
    {'serving.replicas': (10, 12)}
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    serving: ServingConfig = field(default_factory=ServingConfig)
    monitoring: MonitoringConfig = field(default_factory=MonitoringConfig)
    flags: tuple[str, ...] = ()
    """Feature flags that are on, of `FLAGS`; see there for a gradual rollout."""

    def __post_init__(self) -> None:
        positive = (
            "training.lookback_days",
            "training.max_rows",
            "serving.max_latency_ms",
            "serving.replicas",
            "serving.candidates",
            "serving.store_timeout_ms",
            "serving.threads",
            "serving.max_in_flight",
            "serving.reload_seconds",
        )
        not_negative = (
            "features.window_days",
            "features.ttl_days",
            "training.every_days",
            "training.tolerance",
            "monitoring.min_psi",
            "monitoring.min_rows",
            "serving.feature_ttl_seconds",
            "serving.prediction_ttl_seconds",
            "serving.drain_seconds",
        )
        shares = ("training.test_share", "monitoring.rate")
        values = self.flat()
        wrong = {key: "above 0" for key in positive if not values[key] > 0}
        wrong |= {key: "0 or more" for key in not_negative if not values[key] >= 0}
        wrong |= {key: "between 0 and 1" for key in shares if not 0 < values[key] < 1}
        if not 0 <= values["serving.explore"] <= 1:
            wrong["serving.explore"] = "from 0 to 1"
        for key, allowed in CHOICES.items():
            if values[key] not in allowed:
                wrong[key] = f"one of {', '.join(allowed)}"
        if not all(map(_is_flag, values["flags"])):
            wrong["flags"] = f"among {', '.join(FLAGS)}, alone or with a share: {FLAGS[0]}=0.05"
        for key, what in wrong.items():
            raise ConfigError(
                f"{key} = {values[key]!r}", why=f"it has to be {what}", fix=f"for example {_DEFAULTS[key]!r}"
            )

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> SystemConfig:
        """Defaults, then a TOML file, then `MLSYS_SECTION__KEY` of `environ`, then `section.key` overrides."""
        settings: dict[str, Any] = {}
        if path is not None:
            try:
                settings.update(_flatten(tomllib.loads(Path(path).read_text(encoding="utf-8"))))
            except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
                raise ConfigError(
                    f"cannot read {path}: {error}",
                    why="it should be a TOML file",
                    fix="[serving]\nreplicas = 12",
                ) from error
        for name, text in (environ or {}).items():
            key = name.removeprefix("MLSYS_").lower().replace("__", ".")
            # MLSYS_VENV and the like are no settings; MLSYS_SERVING_REPLICAS is one, mistyped.
            if name.startswith("MLSYS_") and key.split(".")[0].split("_")[0] in {k.split(".")[0] for k in _DEFAULTS}:
                settings[key] = text
        settings.update(overrides or {})
        return cls()._with(settings)

    @property
    def version(self) -> str:
        """The first 12 digits of the SHA-256 of the content: equal settings, equal version."""
        return hashlib.sha256(json.dumps(self.flat(), sort_keys=True).encode()).hexdigest()[:12]

    def flat(self) -> dict[str, Any]:
        """Every setting as `section.key`, in its own type: 50 and 50.0 milliseconds are one setting."""
        return {key: _cast(key, value) for key, value in _flatten(asdict(self)).items()}

    def diff(self, other: SystemConfig) -> dict[str, tuple[Any, Any]]:
        """Settings that differ: key → (here, there)."""
        there = other.flat()
        return {key: (value, there[key]) for key, value in self.flat().items() if value != there[key]}

    def _with(self, settings: Mapping[str, Any]) -> SystemConfig:
        sections: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        for key, value in settings.items():
            if key not in _DEFAULTS:
                near = difflib.get_close_matches(key, _DEFAULTS, n=1)
                raise ConfigError(
                    f"there is no setting {key!r}",
                    why="a mistyped setting that is ignored is worse than none",
                    fix=f"did you mean {near[0]!r}?" if near else f"settings: {', '.join(_DEFAULTS)}",
                )
            section, _, leaf = key.partition(".")
            value = _cast(key, value)
            sections[section] = replace(sections[section], **{leaf: value}) if leaf else value
        return SystemConfig(**sections)


def _is_flag(text: str) -> bool:
    name, given, share = text.partition("=")
    try:
        return name in FLAGS and (not given or 0 < float(share) <= 1)
    except ValueError:
        return False


def _flatten(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{section}.{key}" if isinstance(content, dict) else section: value
        for section, content in document.items()
        for key, value in (content.items() if isinstance(content, dict) else [(section, content)])
    }


def _cast(key: str, value: Any) -> Any:
    """The value in the setting's type; text from the environment is parsed, a wrong type is refused."""
    wanted = type(_DEFAULTS[key])
    try:
        if wanted is tuple:
            return tuple(v.strip() for v in value.split(",") if v.strip()) if isinstance(value, str) else tuple(value)
        if isinstance(value, str) or (wanted is float and isinstance(value, int) and not isinstance(value, bool)):
            value = wanted(value)
        if type(value) is not wanted or (wanted is float and not math.isfinite(value)):
            raise ValueError
    except (TypeError, ValueError):
        raise ConfigError(
            f"{key} = {value!r}",
            why=f"it has to be a {wanted.__name__}",
            fix=f"for example {_DEFAULTS[key]!r}",
        ) from None
    return value


_DEFAULTS: dict[str, Any] = _flatten(
    {
        f.name: asdict(f.default_factory()) if f.default_factory is not MISSING else f.default
        for f in fields(SystemConfig)
    }
)
