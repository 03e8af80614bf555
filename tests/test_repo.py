"""What the repository promises about itself: the environments agree, the house keeps its shape."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
CONDA_NAMES = {"matplotlib-base": "matplotlib", "prometheus_client": "prometheus-client"}


def wanted(extras: tuple[str, ...] = ("dev",)) -> dict[str, str]:
    lines = PROJECT["dependencies"] + [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    return dict(re.match(r"([a-z0-9-]+)>=([\d.]+)", line).groups() for line in lines)  # type: ignore[union-attr]


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def test_environment_yml_says_what_pyproject_says() -> None:
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    found = dict(re.findall(r"^  - ([a-z0-9_-]+)>=([\d.]+)$", text, re.MULTILINE))
    assert f">={found.pop('python')}" == PROJECT["requires-python"]
    # What is not for every system (uvloop) has no place in a file that every system reads.
    everywhere = {name: low for name, low in wanted().items() if name != "uvloop"}
    assert {CONDA_NAMES.get(name, name): low for name, low in found.items()} == everywhere


def test_the_lock_satisfies_pyproject_and_is_hash_pinned() -> None:
    locked = re.findall(r"^([a-z0-9-]+)==([\d.]+)(?:\.?\w+)?[^\n]*\\\n    --hash=sha256:", LOCK, re.MULTILINE)
    versions = {name: low for name, low in locked}
    for name, low in wanted().items():
        assert version(versions[name]) >= version(low), name
    pins = re.findall(r"^[a-z0-9].*==", LOCK, re.MULTILINE)
    assert len(pins) == len(locked) > 100


def test_the_lock_names_no_index() -> None:
    assert not re.search(r"https?://|file:|--(extra-)?index-url|--find-links|--trusted-host", LOCK)


def test_top_level_is_the_design_s() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in listed.stdout.splitlines() if not line.startswith(".")}
    allowed = "notebooks mlsys drills tests benchmarks deploy environment.yml pyproject.toml requirements.lock"
    assert top <= {*allowed.split(), "start.py", "README.md", "LICENSE", "CONTRIBUTING.md"}


def test_start_is_short_and_stdlib() -> None:
    text = (ROOT / "start.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 80
    imported = re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE)
    assert set(imported) <= sys.stdlib_module_names


def test_files_fit_one_sitting() -> None:
    long = {p.name: n for p in (ROOT / "mlsys").rglob("*.py") if (n := len(p.read_text("utf-8").splitlines())) > 400}
    assert not long


def test_the_package_imports_only_from_above() -> None:
    """The order of the house: a module imports only from those above it (DESIGN, "The house")."""
    order = ["core", "config", "naive", "world", "collection", "storage", "verification", "features", "training"]
    order += ["evaluation", "serving", "monitoring", "capacity", "orchestration", "drills", "analysis", "lesson"]
    order += ["integrations", "cli"]
    for path in (ROOT / "mlsys").rglob("*.py"):
        parts = path.relative_to(ROOT / "mlsys").with_suffix("").parts
        if parts[0] not in order:
            continue
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"^(?:from mlsys\.(\w+)|import mlsys\.(\w+))", text, re.MULTILINE):
            other = name[0] or name[1]
            assert order.index(other) <= order.index(parts[0]), f"{'/'.join(parts)} imports mlsys.{other}"
