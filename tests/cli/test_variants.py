"""`ip2p variants` from the command line, on the tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.ip2p import Run, pixels
from tests.tiny_clip import save_clip


def names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).glob("winter-*.png"))


def index(folder: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(Path(folder, "index.json").read_text())
    return found


def test_seeds_and_scales_with_their_overview(ip2p: Run, photo: Path) -> None:
    done = ip2p("variants", photo, "winter", "--seeds", 2, "--cfg-image", "1.2,1.5", "-o", "out", "--report")
    assert done.code == 0, done.err
    assert names("out") == [
        f"winter-seed-{seed}-text-7.5-image-{scale}.png" for seed in (0, 1) for scale in ("1.2", "1.5")
    ]
    assert sorted(done.out.splitlines()) == [f"out/{name}" for name in names("out")]
    assert index("out")["varied"] == ["seed", "cfg_image"]
    with Image.open("out/contact-sheet.png") as sheet:
        assert sheet.width > 2 * 300
    html = Path("out/report.html").read_text()
    assert "http://" not in html
    assert "https://" not in html
    assert html.count("<article") == 4

    before = {path: path.read_bytes() for path in Path("out").iterdir()}
    Path("out", names("out")[0]).unlink()
    again = ip2p("variants", photo, "winter", "--seeds", 2, "--cfg-image", "1.2,1.5", "-o", "out", "--report")
    assert "1 of 4 variants edited, 3 done before" in again.err
    after = {path: path.read_bytes() for path in Path("out").iterdir()}
    manifest = Path("out/ip2p-manifest.jsonl")
    assert {k: v for k, v in before.items() if k != manifest} == {k: v for k, v in after.items() if k != manifest}


def test_a_variant_is_the_single_edit_of_its_seed(ip2p: Run, photo: Path) -> None:
    ip2p("variants", photo, "winter", "--seeds", "3,5", "--cfg-text", "5,7.5", "-o", "out")
    for seed, scale in ((3, "7.5"), (5, "5")):
        done = ip2p("edit", photo, "winter", "--seed", seed, "--cfg-text", scale, "-o", f"{seed}.png")
        assert done.code == 0, done.err
        assert (pixels(f"{seed}.png") == pixels(f"out/winter-seed-{seed}-text-{scale}-image-1.5.png")).all()


def test_the_last_edit_is_taken_up_again(ip2p: Run, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    none = ip2p("variants", "--seeds", 2, tiny=False)
    assert none.code == 2
    assert "no edit to take up again" in none.err
    assert ip2p("edit", photo, "winter", "--seed", 7, "--cfg-text", 5, "-o", "one.png").code == 0
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    done = ip2p("variants", "--seeds", 2, tiny=False)
    assert done.code == 0, done.err
    assert "taking up the last edit" in done.err
    assert [Path(line).name for line in done.out.splitlines()] == [
        f"winter-seed-{seed}-text-5-image-1.5.png" for seed in (7, 8)
    ]
    assert (pixels(done.out.splitlines()[0]) == pixels("../one.png")).all()


def test_no_history_is_kept_where_none_is_wanted(ip2p: Run, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IP2P_NO_HISTORY", "1")
    assert ip2p("edit", photo, "winter", "-o", "one.png").code == 0
    assert "IP2P_NO_HISTORY is set" in ip2p("variants", "--seeds", 2, tiny=False).err
    monkeypatch.delenv("IP2P_NO_HISTORY")
    assert ip2p("variants", "--seeds", 2, tiny=False).code == 2


def test_ranked_the_best_are_told_and_all_stay(ip2p: Run, photo: Path) -> None:
    done = ip2p("variants", photo, "winter", "--random", 3, "--keep", 2, "-o", "out", "--json")
    assert done.code == 0, done.err
    told = [json.loads(line) for line in done.out.splitlines()]
    assert [one["rank"] for one in told] == [1, 2]
    assert told[0]["score"] >= told[1]["score"]
    assert told[0]["measure"].startswith("offline:")
    assert all(6 <= one["cfg_text"] <= 9 and 1.2 <= one["cfg_image"] <= 1.8 for one in told)
    assert len(names("out")) == 3
    assert [one["kept"] for one in index("out")["results"]] == [True, True, False]  # type: ignore[index,union-attr]


def test_ranked_by_a_clip_of_a_folder(ip2p: Run, photo: Path) -> None:
    clip = save_clip(Path("clip"))
    words = ("variants", photo, "winter", "--seeds", 3, "-o", "out", "--rank", "--clip", clip, "--json")
    for further, way in (((), "text"), (("--caption", "a lake", "--target-caption", "a frozen lake"), "direction")):
        done = ip2p(*words, *further)
        assert done.code == 0, done.err
        told = [json.loads(line) for line in done.out.splitlines()]
        assert [one["measure"] for one in told] == [f"clip: image+{way} (clip)"] * 3
        assert [one["score"] for one in told] == sorted((one["score"] for one in told), reverse=True)
        for one in told:
            assert one["score"] == pytest.approx(one["CLIP image"] + one[f"CLIP {way}"], abs=2e-4)


def test_what_a_user_put_beside_stays(ip2p: Run, photo: Path) -> None:
    Path("out").mkdir()
    for name in ("contact-sheet.png", "index.json", "report.html"):
        Path("out", name).write_text("mine")
    done = ip2p("variants", photo, "winter", "--seeds", 1, "-o", "out", "--report")
    assert done.code == 0, done.err
    assert all(Path("out", n).read_text() == "mine" for n in ("contact-sheet.png", "index.json", "report.html"))
    assert Path("out/contact-sheet-2.png").is_file()
    assert Path("out/index-2.json").is_file()


def test_other_settings_are_refused(ip2p: Run, photo: Path) -> None:
    ip2p("variants", photo, "winter", "--seeds", 1, "-o", "out")
    done = ip2p("variants", photo, "winter", "--seeds", 1, "-o", "out", "--sampler", "ddim")
    assert done.code == 2
    assert "--redo" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "0"], "--seeds"),
        (["--seeds", "1000", "--cfg-text", "1,2"], "2000 variants"),
        (["--seeds", "2", "--random", "2"], "--random"),
        (["--random", "2", "--cfg-text", "9..6"], "smaller to the larger"),
        (["--sampler", "eular_a"], "euler_a"),
        (["--clip", "nowhere", "--rank"], "--clip nowhere"),
        (["--caption", "a lake"], "belong together"),
    ],
)
def test_what_is_not_possible_is_said_in_a_line(ip2p: Run, photo: Path, words: list[str], said: str) -> None:
    done = ip2p("variants", photo, "winter", "-o", "out", *words)
    assert done.code in (2, 5)
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not Path("out").exists()
