"""Who may import whom: the core is pure, service is the top, and there are no cycles."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import falco_enrichment_exporter

PACKAGE = "falco_enrichment_exporter"
ROOT = Path(falco_enrichment_exporter.__file__).parent
PATHS = sorted(ROOT.rglob("*.py"))
PURE = frozenset(
    {
        "collections",
        "dataclasses",
        "datetime",
        "enum",
        "functools",
        "operator",
        "itertools",
        "math",
        "re",
        "statistics",
        "struct",
        "typing",
    }
)
ALSO = {f"{PACKAGE}.core.search": {"ctypes"}}  # memmem(3): what it returns depends on its arguments alone, too
OUTSIDE = frozenset({"open", "print", "input", "exec", "eval", "compile", "__import__", "breakpoint"})


def name_of(path: Path) -> str:
    """Return the dotted name of a module."""
    parts = [PACKAGE, *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in PATHS}
CORE = sorted(name for name in MODULES if name.startswith(f"{PACKAGE}.core"))


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the dotted names that a module imports anywhere: ``from a import b`` is both a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def edges(name: str) -> set[str]:
    """Return the modules of this package that a module imports; a package's own __init__ is no one's secret."""
    found = {target for target in imported(MODULES[name]) if target in MODULES}
    return {target for target in found if not (name + ".").startswith(target + ".")}


def test_there_are_modules_to_look_at() -> None:
    """The tests below look at the real package."""
    assert len(CORE) >= 9
    assert f"{PACKAGE}.service" in MODULES


@pytest.mark.parametrize("name", CORE)
def test_the_core_imports_only_the_core_msgspec_and_pure_parts_of_python(name: str) -> None:
    """No clock, no loop, no files, no logging, no web: what the core does depends on its arguments alone."""
    allowed = PURE | {"msgspec", PACKAGE} | ALSO.get(name, set())
    for target in imported(MODULES[name]):
        assert target.split(".")[0] in allowed, target
        assert target == PACKAGE or not target.startswith(PACKAGE) or target.startswith(f"{PACKAGE}.core"), target


@pytest.mark.parametrize("name", CORE)
def test_the_core_reaches_for_nothing_outside(name: str) -> None:
    """No built-in that opens, prints or executes, and no clock by way of datetime."""
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in OUTSIDE, f"line {node.lineno}"
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"now", "utcnow", "today"}, f"line {node.lineno}"


def test_nothing_but_the_command_line_imports_the_service() -> None:
    """The composition root is composed of the others, not they of it."""
    service = f"{PACKAGE}.service"
    importers = {name for name, tree in MODULES.items() if service in set(imported(tree))}

    assert importers == {f"{PACKAGE}.cli"}


def test_nothing_imports_the_command_line_but_main() -> None:
    """``python -m`` and the installed command are its only users."""
    cli = f"{PACKAGE}.cli"

    assert {name for name, tree in MODULES.items() if cli in set(imported(tree))} == {f"{PACKAGE}.__main__"}


def test_the_import_graph_has_no_cycles() -> None:
    """Imports inside functions and for types count, too."""
    left = {name: edges(name) for name in MODULES}
    while leaves := {name for name, targets in left.items() if not targets & left.keys()}:
        left = {name: targets for name, targets in left.items() if name not in leaves}

    assert left == {}


@pytest.mark.parametrize("layer", ["core", "exposition", "web", "sources"])
def test_layers_do_not_reach_up(layer: str) -> None:
    """Only commands, the command line and the service know settings and each other."""
    above = {f"{PACKAGE}.{name}" for name in ("cli", "service", "settings", "commands")}
    for name in MODULES:
        if name.startswith(f"{PACKAGE}.{layer}"):
            assert not edges(name) & above, name
