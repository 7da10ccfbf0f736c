"""The import arrows of ip2p_cli/ARCHITECTURE.md, and what must not be imported to answer --help."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ip2p_cli"
BASE = {"types", "errors", "suggest", "folders"}
# layer -> layers it may import, besides itself where it is one job
ALLOWED: dict[str, set[str]] = {
    "__init__": {"api"},
    "api": {"editing", "models", "io", "settings", "config"},
    "cli": {"cli", "jobs", "editing", "training", "datagen", "doctor", "looks", "diffusion", "models", "io", "settings"}
    | {"presets", "config"},
    "jobs": {"jobs", "io"},
    "editing": {"editing", "jobs", "looks", "measures", "diffusion", "models", "io", "settings"},
    "training": {"training", "datagen", "looks", "diffusion", "models", "io"},
    "datagen": {"datagen", "looks", "measures", "diffusion", "models", "io", "jobs"},
    "looks": {"looks"},
    "measures": set(),
    "doctor": {"api", "models", "io", "config", "settings"},
    "diffusion": {"diffusion", "models"},
    "models": {"models", "looks"},
    "io": {"io"},
    "settings": {"diffusion", "io", "presets", "config"},
    "config": {"io", "models"},
    "presets": {"io"},
    "__main__": {"cli"},
}


def imports_of(path: Path) -> Iterator[str]:
    """Names below ip2p_cli that a module imports, anywhere in it, as "layer.module"."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: len(parts) - node.level]) + "." if node.level else ""
            stem = base + (node.module or "")
            names = [f"{stem.rstrip('.')}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.removeprefix("ip2p_cli.") for name in names if name.startswith("ip2p_cli."))


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_follow_the_arrows(path: Path) -> None:
    layer = path.relative_to(PACKAGE).with_suffix("").parts[0]
    for name in imports_of(path):
        target = name.split(".")[0]
        if target in BASE or target == "__version__":
            continue
        assert layer not in BASE, f"{path.name} is at the bottom and imports {name}"
        assert target in ALLOWED[layer], f"{layer} must not import {name}"


def test_diffusion_knows_no_files() -> None:
    for path in (PACKAGE / "diffusion").glob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        imported |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert not imported & {"pathlib", "os", "io", "shutil"}, path.name


def test_stages_of_data_generation_know_each_other_by_shards_only() -> None:
    stages = {"captions", "triplets", "pairs", "scores", "export"}
    for stage in stages:
        folder = PACKAGE / "datagen"
        for path in [*folder.glob(f"{stage}.py"), *folder.glob(f"{stage}/*.py")]:
            named = {name.split(".")[1] for name in imports_of(path) if name.startswith("datagen.")}
            assert not named & (stages - {stage}), path


def runtime_imports(path: Path) -> set[str]:
    """The modules of the package that a module imports when it runs, also inside functions."""
    tree = ast.parse(path.read_text("utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or id(node) in typing_only or not (node.module or "").startswith(NAME):
            continue
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            found.add(inner if inner in NAMES else str(node.module))
    return found & NAMES


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


NAME = PACKAGE.name
NAMES = {module_name(path) for path in MODULES}


def test_imports_have_no_cycle() -> None:
    graph = {module_name(path): runtime_imports(path) for path in MODULES}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_imports_are_written_alike() -> None:
    """Absolute, so that the test above sees all of them."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path
            assert not (isinstance(node, ast.Import) and any(a.name.startswith(NAME) for a in node.names)), path


def test_files_and_functions_stay_short() -> None:
    for path in MODULES:
        text = path.read_text("utf-8")
        assert text.count("\n") <= 300, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                assert node.end_lineno is not None
                assert node.end_lineno - node.body[0].lineno < 60, f"{path}: {node.name}"


def test_every_file_is_in_a_known_layer() -> None:
    tops = {p.relative_to(PACKAGE).with_suffix("").parts[0] for p in MODULES}
    assert tops <= set(ALLOWED) | BASE


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["edit", "--help"],
        ["train", "--help"],
        ["show", "--help"],
        ["replay", "--help"],
        ["variants", "--help"],
        ["chain", "--help"],
        ["mask", "--help"],
        ["recipes", "--help"],
        ["models", "list"],
        ["gen-data", "--help"],
        ["gen-data", "filter", "--help"],
        ["gen-data", "export", "--help"],
        ["gen-data", "stats", "--help"],
        ["gen-data", "view", "--help"],
        ["gen-data", "captions", "--help"],
        ["gen-data", "triplets", "--help"],
        ["gen-data", "pairs", "--help"],
        ["gen-data", "run", "--help"],
    ],
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from ip2p_cli.cli.app import app\n"
        "try:\n    app(sys.argv[1:])\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'numpy', 'PIL', 'cv2', 'accelerate', 'pyarrow'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
