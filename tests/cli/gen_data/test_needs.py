"""What a stage needs is checked before any stage begins, and a model that cannot be loaded fails once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from ip2p_cli.io.shards import Shards
from tests.cli.ip2p import Run, some_photo
from tests.gen_pairs import make_pairs

CAPTIONS = {"source": "a.txt", "language": "any"}
STAGES = {"captions": CAPTIONS, "triplets": {}, "pairs": {}, "filter": {}, "export": {}}


@pytest.mark.parametrize(
    ("hidden", "stages", "words", "message"),
    [
        ("pyarrow", {"export": {"format": "parquet"}}, [], "pip install 'ip2p[data]'"),
        ("pyarrow", {"captions": {"source": "a.parquet"}}, [], "pip install 'ip2p[data]'"),
        ("py3langid", {"captions": {"source": "a.txt", "language": "th"}}, [], "pip install 'ip2p[language]'"),
        ("httpx2", {"filter": {"judge": "http://x/v1"}}, [], "pip install 'ip2p[llm]'"),
        ("httpx2", {"triplets": {"writer": "endpoint", "url": "http://x/v1", "llm": "m"}}, [], "'ip2p[llm]'"),
        ("httpx2", {"triplets": {"moderate": "http://x/v1"}}, [], "'ip2p[llm]'"),
        ("ray", {}, ["--engine", "ray"], "pip install 'ip2p[ray]'"),
        (None, {"captions": {"source": "none.txt"}}, [], "none.txt: no such file"),
        (None, {"triplets": {"writer": "endpoint", "url": "localhost", "llm": "m"}}, [], "no web address"),
        (None, {"triplets": {"writer": "local", "llm": "none"}}, [], "none holds no language model"),
        (None, {"triplets": {"blocklist": "none.txt"}}, [], "none.txt"),
        (None, {"pairs": {"model": "none/"}}, [], "none"),
        (None, {"filter": {"clip": "none"}}, [], "--clip none"),
        (None, {"filter": {"dino": "none"}}, [], "none"),
    ],
)
def test_what_is_missing_is_said_before_the_first_stage(
    ip2p: Run, monkeypatch: pytest.MonkeyPatch, hidden: str | None, stages: dict, words: list[str], message: str
) -> None:
    for name in ("a.txt", "a.parquet"):
        Path(name).write_text("a red boat on a lake\n")
    Path("recipe.yaml").write_text(yaml.safe_dump({**STAGES, **stages}))
    if hidden is not None:
        for module in [*(name for name in sys.modules if name.split(".")[0] == hidden), hidden]:
            monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.setitem(sys.modules, f"{hidden}.langid", None)
    done = ip2p("gen-data", "run", "recipe.yaml", "-o", "data", *words, tiny=False)
    assert done.code in (2, 3, 5), done.err
    assert message.replace("no web address", "is not a web address") in done.err
    assert (done.err.count("\n"), done.out) == (1, "")
    assert not Path("data").exists()


def test_a_stage_alone_checks_it_too(ip2p: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_pairs(Path("data"), shards=1)
    monkeypatch.setitem(sys.modules, "httpx2", None)
    done = ip2p("gen-data", "filter", data, "--judge", "http://x/v1", tiny=False)
    assert (done.code, (data / "scores").exists()) == (2, False)
    assert "ip2p[llm]" in done.err


def test_another_judge_under_the_same_name_scores_again(ip2p: Run) -> None:
    from ip2p_cli.datagen.judge import VisionJudge

    data, scores = make_pairs(Path("data"), shards=1, triplets=1), Shards(folder=Path("data/scores"))
    judge = VisionJudge(url="http://user:secret@one:8000/v1/?key=secret", model="eyes")
    about = judge.settings()
    assert (about["model"], about["url"]) == ("eyes", "http://one:8000/v1")
    assert len(about["prompt"]) == 16
    scores.begin({"measure": "offline", "judge": about})
    other = ["--judge", "http://two:8000/v1", "--judge-model", "eyes"]
    done = ip2p("gen-data", "filter", data, *other, tiny=False)
    assert done.code == 2
    assert "http://one:8000/v1" in done.err
    assert "--redo" in done.err
    assert "secret" not in done.err


def test_a_model_that_cannot_be_loaded_fails_once_with_two_workers(ip2p: Run, tiny_folder: Path) -> None:
    some_photo(80, 64).save("photo.png")
    for number in range(4):
        with Shards(folder=Path("data/triplets")).writing(number) as writer:
            row = {"key": f"k{number}", "caption": "a lake", "instruction": "make it night", "kind": "x"}
            writer.add({**row, "edited_caption": "a lake at night", "writer": "test"})
    words = ["--preset", "draft", "--steps", 2, "--resolution", 64, "--device", "cpu", "--workers", 2]
    done = ip2p("gen-data", "pairs", "data", "--model", tiny_folder, *words, tiny=False)
    assert done.code == 5
    assert done.err.count("is no text-to-image model") == 1
    assert done.err.count("\n") == 1
