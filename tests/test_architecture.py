"""The import arrows of ip2p_cli/ARCHITECTURE.md, and what must not be imported to answer --help."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ip2p_cli"
BASE = {"types", "errors", "suggest"}
# layer -> layers it may import, besides itself where it is one job
ALLOWED: dict[str, set[str]] = {
    "__init__": {"api"},
    "api": {"workflows", "models", "io", "settings", "config"},
    "cli": {
        "cli",
        "workflows",
        "training",
        "doctor",
        "looks",
        "measures",
        "datagen",
        "diffusion",
        "models",
        "io",
        "settings",
        "presets",
        "config",
    },
    "workflows": {"workflows", "looks", "measures", "diffusion", "models", "io", "settings", "config", "jobs"},
    "training": {"training", "datagen", "looks", "diffusion", "models", "io"},
    "datagen": {"datagen", "looks", "measures", "diffusion", "models", "io", "jobs"},
    "looks": {"looks"},
    "measures": set(),
    "doctor": {"workflows", "models", "io", "config", "settings"},
    "diffusion": {"diffusion", "models"},
    "models": {"models"},
    "io": {"io"},
    "jobs": set(),
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
