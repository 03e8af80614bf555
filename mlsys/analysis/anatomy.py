"""How much code each component takes: "the model is the small box" as a measurement."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from mlsys.analysis.architecture import COMPONENTS

PACKAGE = Path(__file__).resolve().parents[1]
GRAIN = 25
"""Counts are rounded to this many lines, so that a small mend of the package does not change the picture."""


def count_lines(source: ModuleType | Callable[..., object] | Path) -> int:
    """Lines of code without docstrings, comments and blank lines, formatting normalized."""
    text = source.read_text(encoding="utf-8") if isinstance(source, Path) else inspect.getsource(source)
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return sum(bool(line.strip()) for line in ast.unparse(tree).splitlines())


def lines_of_code() -> dict[str, int]:
    """Lines per component; a file belongs to the component with the longest matching module name."""
    lines = dict.fromkeys((c.name for c in COMPONENTS), 0)
    owners = sorted(COMPONENTS, key=lambda c: -len(c.module))
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(["mlsys", *path.relative_to(PACKAGE).with_suffix("").parts])
        owner = next((c for c in owners if f"{module}.".startswith(f"{c.module}.")), None)
        if owner:
            lines[owner.name] += count_lines(path)
    return {name: round(n / GRAIN) * GRAIN for name, n in lines.items()}
