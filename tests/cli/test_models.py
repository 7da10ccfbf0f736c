"""`ip2p models …` against a cache folder laid out as the hub's client lays it out, without a network."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ip2p_cli.cli.app import main
from ip2p_cli.config import read_config
from ip2p_cli.errors import UsageError
from ip2p_cli.models.known_loras import LORAS
from ip2p_cli.models.registry import MODELS, PAPER_DEFAULTS, find_model


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def data(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Done]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IP2P_CONFIG", str(tmp_path / "config.yaml"))
    return tmp_path / "config.yaml"


@pytest.fixture
def ip2p(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, cache: Path, config: Path
) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IP2P_MODEL", raising=False)
    monkeypatch.setenv("IP2P_OFFLINE", "1")

    def no_network(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", no_network)

    def run(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["ip2p", "models", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return Done(int(end.value.code or 0), said.out, said.err)

    return run


def into_cache(cache: Path, source: str, folder: Path, *, revision: str = "main", commit: str = "a" * 40) -> Path:
    """`folder` as a snapshot of the hub repository `source`: blobs by hash, links to them, a ref."""
    repository = cache / f"models--{source.replace('/', '--')}"
    snapshot, ref = repository / "snapshots" / commit, repository / "refs" / revision
    for path in folder.rglob("*"):
        if path.is_file():
            blob = repository / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
            blob.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, blob)
            link = snapshot / path.relative_to(folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(blob)
    ref.parent.mkdir(parents=True, exist_ok=True)
    ref.write_text(commit)
    return snapshot


def test_list_without_a_cache(ip2p: Run) -> None:
    done = ip2p("list")
    assert done.code == 0
    rows = {line.split()[0]: line for line in done.out.splitlines()}
    assert list(rows) == [*MODELS, *LORAS]
    assert " here " in rows["nano"]
    assert "Apache-2.0" in rows["nano"]
    assert "~4.27 GB" in rows["instruct-pix2pix"]
    assert "not here" in rows["instruct-pix2pix"]


def test_list_says_what_is_where(ip2p: Run, cache: Path, config: Path, tiny_folder: Path) -> None:
    pulled = into_cache(cache, "vinesmsuic/magicbrush-jul7", tiny_folder, revision="refs/pr/2")
    other = into_cache(cache, "someone/their-model", tiny_folder)
    (into_cache(cache, "MudeHui/HQ-Edit", tiny_folder) / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    config.write_text(f"models: {{mine: {{source: {tiny_folder}}}, gone: {{source: ./gone}}}}\n")
    listed = {row["name"]: row for row in ip2p("list", "--json").data}
    assert [listed[name]["origin"] for name in ("nano", "mine", "someone/their-model")] == [
        "built in",
        "config",
        "cache",
    ]
    assert listed["magicbrush"]["path"] == str(pulled)
    assert listed["someone/their-model"]["path"] == str(other)
    assert listed["magicbrush"]["bytes"] == sum(p.stat().st_size for p in tiny_folder.rglob("*") if p.is_file())
    assert (listed["hq-edit"]["on_disk"], listed["hq-edit"]["whole"]) == (True, False)
    assert (listed["mine"]["path"], listed["mine"]["whole"]) == (str(tiny_folder), True)
    assert not listed["gone"]["on_disk"]
    assert not listed["instruct-pix2pix"]["on_disk"]
    assert "incomplete" in ip2p("list").out


def test_show(ip2p: Run, cache: Path, tiny_folder: Path) -> None:
    done = ip2p("show", "magicbrush")
    for word in ("source: vinesmsuic", "licence:", "revision: refs/pr/2", "not here", "steps 100"):
        assert word in done.out
    snapshot = into_cache(cache, "vinesmsuic/magicbrush-jul7", tiny_folder, revision="refs/pr/2")
    assert str(snapshot) in ip2p("show", "magicbrush").out
    assert ip2p("show", "magicbrush", "--json").data[0]["path"] == str(snapshot)


def test_path(ip2p: Run, cache: Path, tiny_folder: Path) -> None:
    first = into_cache(cache, "someone/their-model", tiny_folder)
    second = into_cache(cache, "someone/their-model", tiny_folder, revision="v2", commit="b" * 40)
    assert ip2p("path", "someone/their-model").out == f"{first}\n"
    assert ip2p("path", "someone/their-model", "--revision", "v2").out == f"{second}\n"
    assert ip2p("path", "someone/their-model", "--revision", "b" * 40).out == f"{second}\n"
    assert ip2p("path", tiny_folder).out == f"{tiny_folder}\n"
    done = ip2p("path", "someone/their-model", "--revision", "v3")
    assert (done.code, done.out) == (5, "")
    assert "ip2p models pull someone/their-model" in done.err
    assert ip2p("path", "nano", "--revision", "v3").code == 2


def test_rm(ip2p: Run, cache: Path, tiny_folder: Path, tmp_path: Path) -> None:
    for revision, commit in (("main", "a" * 40), ("v2", "b" * 40)):
        into_cache(cache, "someone/their-model", tiny_folder, revision=revision, commit=commit)
    whole = Path(shutil.copytree(tiny_folder, tmp_path / "other"))
    (whole / "extra.txt").write_text("123456789")
    third = into_cache(cache, "someone/their-model", whole, revision="v3", commit="c" * 40)
    asked = ip2p("rm", "someone/their-model")
    assert (asked.code, third.exists()) == (2, True)
    assert "--yes" in asked.err
    # What the revisions share stays.
    assert ip2p("rm", "someone/their-model", "--revision", "v3", "--yes", "--json").data[0]["freed"] == 9
    assert not third.exists()
    assert ip2p("path", "someone/their-model").code == 0
    size = sum(path.stat().st_size for path in tiny_folder.rglob("*") if path.is_file())
    done = ip2p("rm", "someone/their-model", "-y", "--json")
    assert done.data[0]["freed"] == size
    assert "MB freed" in done.err
    assert not list(cache.glob("models--*"))
    assert ip2p("rm", "someone/their-model", "--yes").code == 5


@pytest.mark.parametrize(("answer", "stays"), [("y\n", False), ("n\n", True)])
def test_rm_asks(
    ip2p: Run, cache: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, answer: str, stays: bool
) -> None:
    import io

    snapshot = into_cache(cache, "someone/their-model", tiny_folder)
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", terminal)
    done = ip2p("rm", "someone/their-model")
    assert snapshot.exists() is stays
    assert done.out == ""
    assert ("nothing was deleted" if stays else "freed") in done.err


def test_rm_never_touches_what_was_not_pulled(ip2p: Run, tiny_folder: Path) -> None:
    for name in ("nano", tiny_folder):
        done = ip2p("rm", name, "--yes")
        assert done.code == 5
        assert "was not pulled" in done.err
    assert (tiny_folder / "model_index.json").is_file()


@pytest.mark.parametrize("variable", ["IP2P_OFFLINE", "HF_HUB_OFFLINE"])
def test_pull_offline(
    ip2p: Run, cache: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("IP2P_OFFLINE")
    monkeypatch.setenv(variable, "1")
    done = ip2p("pull", "instruct-pix2pix")
    assert (done.code, done.out) == (5, "")
    assert "OFFLINE" in done.err
    assert len(done.err.strip().splitlines()) == 1
    snapshot = into_cache(cache, "timbrooks/instruct-pix2pix", tiny_folder)
    done = ip2p("pull", "instruct-pix2pix", "--dtype", "fp32")
    assert (done.code, done.out) == (0, f"{snapshot}\n")


def test_pull_asks_for_the_newest(ip2p: Run, cache: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is cached does not keep the hub from being asked; only the files that are loaded are wanted."""
    import huggingface_hub

    for variable in ("IP2P_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    snapshot = into_cache(cache, "timbrooks/instruct-pix2pix", tiny_folder)
    asked: list[dict[str, Any]] = []

    def network(source: str, **rest: Any) -> str:
        assert not rest.get("local_files_only")
        asked.append({"source": source, **rest})
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", network)
    done = ip2p("pull", "instruct-pix2pix", "--revision", "main", "--dtype", "fp32")
    assert (done.code, done.out) == (0, f"{snapshot}\n")
    assert (asked[0]["source"], asked[0]["revision"]) == ("timbrooks/instruct-pix2pix", "main")
    assert not any(pattern.endswith((".bin", ".ckpt")) for pattern in asked[0]["allow_patterns"])


def test_pull_of_what_is_here(ip2p: Run, tiny_folder: Path) -> None:
    done = ip2p("pull", tiny_folder)
    assert (done.code, done.out) == (0, f"{tiny_folder}\n")
    assert "nothing to pull" in done.err


# --- Entries of the config file


def test_own_entries(config: Path, tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.ckpt").write_bytes(b"x")
    config.write_text(
        "models:\n"
        "  mine: {source: timbrooks/instruct-pix2pix, revision: v1, description: ours, defaults: {steps: 20}}\n"
        f"  local: {{source: {tiny_folder}}}\n"
        "  quick: {source: instruct-pix2pix, defaults: {steps: 5}}\n"
        "  beside: {source: weights.ckpt, defaults: {sampler: ddim, cfg_text: 3, cfg_image: 1.2, resolution: 256}}\n"
    )
    extra = read_config().models
    mine = find_model("mine", extra)
    assert (mine.source, mine.revision, mine.description) == ("timbrooks/instruct-pix2pix", "v1", "ours")
    assert (mine.defaults.steps, mine.defaults.cfg_text, mine.variant) == (20, 7.5, "fp16")
    assert mine.licence == MODELS["instruct-pix2pix"].licence
    assert find_model("local", extra).source == str(tiny_folder)
    beside = find_model("beside", extra)
    assert beside.source == str(tmp_path / "weights.ckpt")
    assert (beside.defaults.sampler, beside.defaults.steps) == ("ddim", PAPER_DEFAULTS.steps)
    quick = find_model("quick", extra)
    assert (quick.name, quick.source, quick.defaults.steps) == ("quick", "timbrooks/instruct-pix2pix", 5)
    assert find_model("nano", extra) is MODELS["nano"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modle: x", "there is no setting modle. Did you mean model"),
        ("models: {a: {sorce: x/y}}", "there is no setting models.a.sorce. Did you mean source?"),
        (
            "models: {a: {source: x/y, defaults: {step: 3}}}",
            "models.a.defaults: unknown field 'step'. Did you mean steps",
        ),
        ("models: {a: {source: x/y, defaults: {steps: many}}}", "models.a.defaults: steps"),
        ("models: {a: {revision: main}}", "models.a.source is missing: a hub id"),
        ("models: {a: x/y}", "models.a"),
        ("models: [a]", "models"),
        ("- a", "should be a mapping"),
        ("model: 3", "model"),
    ],
)
def test_wrong_entries(config: Path, text: str, said: str) -> None:
    config.write_text(text + "\n")
    with pytest.raises(UsageError) as caught:
        read_config()
    assert said in str(caught.value)
    assert str(config) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_entries_that_clash(ip2p: Run, config: Path, tiny_folder: Path) -> None:
    config.write_text("models: {nano: {source: x/y}}\n")
    assert "nano is a built-in name" in ip2p("list").err
    config.write_text(f"models: {{mine: {{source: {tiny_folder}, revision: v2}}}}\n")
    assert "a revision is for hub ids" in ip2p("show", "mine").err
