"""Files of random shape work or end in one clear line: manifests, records, recipes, jobs, LoRA headers, settings."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ip2p_cli.config import read_config
from ip2p_cli.editing.history import history_path, read_last_edit
from ip2p_cli.editing.model_choice import ModelChoice
from ip2p_cli.editing.outputs import INDEX, earlier_edits, read_index
from ip2p_cli.editing.replay import Recorded, find_source, read_recorded, tree_of
from ip2p_cli.errors import Ip2pError
from ip2p_cli.io.jobs import read_jobs
from ip2p_cli.io.provenance import parents_in, read_sidecar, sidecar_of
from ip2p_cli.io.recipes import read_recipe
from ip2p_cli.io.train_recipes import read_train_recipe
from ip2p_cli.jobs.manifest import open_manifest
from ip2p_cli.models.loader import Editor
from ip2p_cli.models.lora import fuse
from ip2p_cli.models.registry import MODELS
from ip2p_cli.types import Lora

few = settings(
    max_examples=60, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
TEXTS = st.sampled_from(
    ["", "a", "../a", "/etc/passwd", "a\0b", "x" * 300, "{{ a }}", "{% if a %}", "~a", "\u2028", "\x1b["]
)
NUMBERS = st.sampled_from([0, 1, -1, 7, 64, 2**63, 10**400, 0.5, 1e308, float("nan"), float("inf")])
PLAIN = st.none() | st.booleans() | NUMBERS | TEXTS | st.text(max_size=5)
MODEL_CHOICE = ModelChoice(spec=MODELS["nano"], device="cpu", dtype="fp32", known_weights="0")


def values(*names: str) -> st.SearchStrategy[Any]:
    """Values as JSON and YAML have them, with these names as keys."""
    keys = st.sampled_from([*names, "x", ""])
    return st.recursive(
        PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5), max_leaves=10
    )


def objects(*names: str, **usual: object) -> st.SearchStrategy[dict[str, Any]]:
    """What a program would write, with some of it replaced by anything."""
    anything = st.dictionaries(st.sampled_from([*names, *usual, "x"]), values(*names, *usual), max_size=3)
    return anything.map(lambda changes: {**usual, **changes})


def check(action: Callable[[], object]) -> None:
    """Run what reads a file; it works, or ends in one line."""
    message = "fine"
    try:
        action()
    except Ip2pError as error:
        message = str(error)
    assert len(message.splitlines()) == 1


def dump(value: object) -> bytes:
    return json.dumps(value).encode()


ITEM = objects("seconds", "reason", name="a.png", state="done", input="../a.png", recipe={}, title="winter")
FILE = objects(name="a.png", key="k", sha256="0" * 64)


@few
@given(lines=st.lists(objects(item={"name": "a"}) | st.fixed_dictionaries({"item": ITEM, "file": FILE, "seed": PLAIN})))
def test_manifests(tmp_path: Path, lines: list[object]) -> None:
    (tmp_path / "ip2p-manifest.jsonl").write_bytes(b"".join(dump(line) + b"\n" for line in lines))

    def read() -> None:
        manifest = open_manifest(tmp_path)
        for name in [*manifest.entries, *manifest.files]:
            assert ".." not in name.split("/")
            manifest.is_ours(name)
            manifest.has(name, "k")

    check(read)


RECORD = objects(
    *("parents", "batch", "memory", "best_of", "seeds", "loras", "vae", "edit", "input_path", "quality", "cfg_text"),
    *("max_rows", "tiling", "offload", "fit", "sampler"),
    ip2p="1",
    model="nano",
    instruction="make it winter",
    steps=1,
    seed=1,
    input="a.png",
    chain={"name": "x", "edit": 1, "handoff": "latent"},
)


@few
@given(record=RECORD)
def test_records(tmp_path: Path, record: dict[str, Any]) -> None:
    picture = tmp_path / "picture.png"
    sidecar_of(picture).write_bytes(dump(record))

    def choice_of(recorded: Recorded) -> ModelChoice:
        recorded.check_parts([], None)
        return MODEL_CHOICE

    def read() -> None:
        found = read_sidecar(picture)
        parents_in(found)
        edits = read_recorded(picture, found)
        tree_of(edits, choice_of)
        assert edits[-1].memory is None or edits[-1].memory.offload
        assert 1 <= edits[-1].quality <= 100
        find_source(edits[-1], None)

    check(read)


@few
@given(text=st.binary(max_size=40) | st.integers(1, 3000).map(lambda depth: b'{"ip2p": "1", "a":' + b"[" * depth))
def test_records_and_indexes_of_any_bytes(tmp_path: Path, text: bytes) -> None:
    for ending in (b"", b"]" * text.count(b"[") + b"}"):
        sidecar_of(tmp_path / "a.png").write_bytes(text + ending)
        (tmp_path / INDEX).write_bytes(text + ending)
        assert str(read_sidecar(tmp_path / "a.png"))
        read_index(tmp_path)


@few
@given(index=objects(ip2p="1", edits=[{"label": "", "edit": 1, "key": "k"}]))
def test_indexes(tmp_path: Path, index: dict[str, Any]) -> None:
    (tmp_path / INDEX).write_bytes(dump(index))
    check(lambda: earlier_edits(read_index(tmp_path)))


RECIPE = objects(
    *("variables", "defaults", "include", "handoff", "guard", "description", "default", "instruction", "repeat"),
    *("best_of", "save", "model", "cfg_text", "seed"),
    name="x",
    edits=["make it {{ a }}", {"instruction": "b", "steps": 1}, ["c", ["d", "e"]]],
)


def written(path: Path, content: dict[Any, Any] | str) -> Path:
    text = content if isinstance(content, str) else yaml.safe_dump(content, allow_unicode=True)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return path


YAML_TEXT = st.text("abc: -[]{}#&*!|>'\"%@`\n\t0123~,?<", max_size=40)


@few
@given(content=RECIPE | YAML_TEXT)
def test_recipes(tmp_path: Path, content: dict[str, Any] | str) -> None:
    path = written(tmp_path / "r.yaml", content)
    check(lambda: read_recipe(path, {"a": "winter"}))
    check(lambda: read_recipe(path))


TRAIN = objects(
    "loss", "seed", "betas", "unet", "patch_size", name="x", start="nano", stages=[{"steps": 1, "side": 64}]
)
KEYS = st.integers() | st.none() | st.booleans() | st.text(max_size=3) | st.dates()


@few
@given(content=TRAIN | YAML_TEXT, key=KEYS)
def test_train_recipes(tmp_path: Path, content: dict[Any, Any] | str, key: object) -> None:
    content = content if isinstance(content, str) else {**content, key: 1}
    check(lambda: read_train_recipe(written(tmp_path / "t.yaml", content)))


@few
@given(content=objects(model="nano", models={"a": {"source": "b"}}, presets={"p": {"steps": 3}}) | YAML_TEXT, key=KEYS)
def test_config_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: dict[Any, Any] | str, key: object
) -> None:
    content = content if isinstance(content, str) else {**content, key: 1}
    monkeypatch.setenv("IP2P_CONFIG", str(written(tmp_path / "c.yaml", content)))
    check(read_config)


JOB = objects("steps", "seed", "output", "fit", input="a.png", instruction="make it winter")
CELLS = st.lists(
    st.sampled_from(["input", "instruction", "output", "a", '"', '"a,b"', "", "\0", "steps", "1"]), max_size=4
)


@few
@given(rows=st.lists(JOB | values("input"), max_size=4), cells=st.lists(CELLS, max_size=4))
def test_job_files(tmp_path: Path, rows: list[object], cells: list[list[str]]) -> None:
    (tmp_path / "j.jsonl").write_bytes(b"\n".join(map(dump, rows)))
    (tmp_path / "j.csv").write_text("\n".join(map(",".join, cells)), "utf-8")
    check(lambda: read_jobs(tmp_path / "j.jsonl"))
    check(lambda: read_jobs(tmp_path / "j.csv"))


@few
@given(text=st.binary(max_size=60))
def test_job_files_of_any_bytes(tmp_path: Path, text: bytes) -> None:
    for name in ("j.jsonl", "j.csv"):
        (tmp_path / name).write_bytes(text)
        check(lambda name=name: read_jobs(tmp_path / name))  # type: ignore[misc]


LAST = objects(
    source="a.png", instruction="winter", settings={"steps": 1}, model="nano", revision=None, loras=[], vae=None
)


@few
@given(last=LAST | values("source"))
def test_the_last_edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: object) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = history_path()
    assert path is not None
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(dump(last))
    check(read_last_edit)


@pytest.fixture(scope="module")
def editor(tiny_editor: Editor) -> Editor:
    return copy.deepcopy(tiny_editor)


LAYER = st.sampled_from(["mid_block_attentions_0_proj_in", "input_blocks_1_1_proj_in", "conv_in", "te_x", "9" * 5000])
ENDS = st.sampled_from([".lora_down.weight", ".lora_up.weight", ".alpha", ".lora_A.weight", ".dora_scale", ""])
NAME = st.builds(
    "{}{}{}".format, st.sampled_from(["lora_unet_", "lora_te_", "unet.", "base_model.model."]), LAYER, ENDS
)
SHAPE = st.lists(st.sampled_from([0, 1, 2, 32]), max_size=4)
DTYPE = st.sampled_from(["F32", "F16", "BF16", "I64", "BOOL", "F8_E4M3", "C64", "X"])


@few
@given(
    tensors=st.dictionaries(NAME, st.tuples(DTYPE, SHAPE), max_size=4),
    metadata=st.none() | st.dictionaries(st.just("lora_adapter_metadata"), values("unet.lora_alpha").map(json.dumps)),
    odd=values("dtype"),
    is_odd=st.booleans(),
)
def test_lora_headers(
    editor: Editor, tmp_path: Path, tensors: dict[str, Any], metadata: object, odd: object, is_odd: bool
) -> None:
    sizes = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "BOOL": 1, "F8_E4M3": 1, "C64": 8, "X": 1}
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    end = 0
    for name, (dtype, shape) in tensors.items():
        start, end = end, end + sizes[dtype]
        for side in shape:
            end = start + (end - start) * side
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    if is_odd:
        header["odd"] = odd
    data = dump(header)
    path = tmp_path / "style.safetensors"
    path.write_bytes(struct.pack("<Q", len(data)) + data + bytes(end))
    check(lambda: fuse(Lora(path=path), unet=editor.unet, text_encoder=editor.text_encoder))
