"""The promises of the layout: what lies where, and who may import whom."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("spec", "compiler", "runtime", "grammars")
FORBIDDEN = {
    "grammars": {"spec", "compiler", "runtime", "lark", "torch", "numpy"},
    "spec": {"compiler", "runtime", "grammars", "lark", "torch", "numpy", "matplotlib", "rich", "yaml"},
    "compiler": {"runtime", "torch", "numpy", "matplotlib"},
    "runtime": {"compiler", "grammars", "lark"},
}


def sources(package: str) -> list[Path]:
    return sorted(path for path in (ROOT / package).rglob("*.py"))


def imported(node: ast.AST, path: Path) -> list[str]:
    """Top-level names that an import statement reaches, `lmc.` taken off and relative levels resolved."""
    if isinstance(node, ast.Import):
        return [alias.name.removeprefix("lmc.").split(".")[0] for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    if node.level == 0:
        return [(node.module or "").removeprefix("lmc.").split(".")[0]]
    parts = ("lmc", *path.relative_to(ROOT).parent.parts)
    base = parts[: len(parts) - node.level + 1]
    dotted = (*base, *(node.module or "").split(".")) if node.module else base
    if len(dotted) == 1:
        return [alias.name for alias in node.names]
    return [dotted[1]]


def violations(package: str, path: Path, tree: ast.Module) -> list[str]:
    lazy_ok = path.parent == ROOT / "compiler" / "commands"
    found = []
    for node in ast.walk(tree):
        for name in imported(node, path):
            if name in FORBIDDEN[package] and not (lazy_ok and node not in tree.body):
                found.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)} imports {name}")
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_layers_import_one_way(package: str) -> None:
    found = [v for path in sources(package) for v in violations(package, path, ast.parse(path.read_text()))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("package", "where", "line"),
    [
        ("runtime", "runtime/x.py", "from ..compiler import cli"),
        ("runtime", "runtime/data/x.py", "from ...compiler.cli import main"),
        ("compiler", "compiler/x.py", "import torch"),
        ("compiler", "compiler/resolve/x.py", "from lmc.runtime import launch"),
        ("spec", "spec/x.py", "from .. import runtime"),
    ],
)
def test_the_layer_check_can_fail(package: str, where: str, line: str) -> None:
    assert violations(package, ROOT / where, ast.parse(line))


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_listed(package: str) -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {
        "lmc." + path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for path in sources(package)
        if path.name == "__init__.py"
    }
    listed = {name for name in setuptools["packages"] if name.split(".")[1] == package}
    assert folders == listed
    stray = {path.parent for path in sources(package)} - {
        path.parent for path in sources(package) if path.name == "__init__.py"
    }
    assert not stray, f"folders without __init__.py: {stray}"


def test_every_folder_says_what_belongs() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in sources(package)
        if not (ast.get_docstring(ast.parse(path.read_text())) or "").strip()
    ]
    assert not silent, f"modules without a head: {silent}"


LIGHT = ("lmc.spec", "lmc.compiler.pipeline", "lmc.compiler.cli")
HEAVY = {"torch", "numpy", "matplotlib"}
SLOW = {"cattrs", "importlib.resources"}
"""What takes long to load for what `lmc check` and `lmc compile` would use of it."""


def loaded_by(*modules: str) -> set[str]:
    program = f"import sys, {', '.join(modules)}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    return set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )


@pytest.mark.parametrize("module", LIGHT)
def test_the_compiler_loads_without_heavy_libraries(module: str) -> None:
    assert not loaded_by(module) & HEAVY


@pytest.mark.parametrize("command", ["check", "compile"])
def test_checking_and_compiling_load_nothing_heavy(command: str, tmp_path: Path) -> None:
    example = ROOT / "examples" / "memory.lmspec"
    program = (
        "import sys; from lmc.compiler.cli import main\n"
        f"code = main([{command!r}, {str(example)!r}, '--with', 'quick', *sys.argv[1:]])\n"
        f"heavy = {HEAVY | SLOW} & sys.modules.keys()\n"
        "sys.exit(code or bool(heavy))"
    )
    extra = ["-o", str(tmp_path / "plan")] if command == "compile" else []
    assert subprocess.run([sys.executable, "-c", program, *extra], capture_output=True).returncode == 0


def test_the_light_import_check_can_fail() -> None:
    assert "numpy" in loaded_by("numpy") & HEAVY


def test_the_runtime_never_loads_the_language() -> None:
    assert not loaded_by("lmc.runtime.graph", "lmc.runtime.worker") & {"lark"}
