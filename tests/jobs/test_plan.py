"""What a job will do: names, what is done, groups."""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePath
from typing import Any

import pytest
from PIL import Image

from ip2p_cli.errors import UsageError
from ip2p_cli.jobs.item import Item, Request
from ip2p_cli.jobs.manifest import Entry, file_digest, file_stamp, open_manifest
from ip2p_cli.jobs.plan import Plan, difference, input_name, make_plan
from tests.jobs.fake_work import contents, files_of, plan, request_for, run_job, some_photos


def names(made: Plan) -> list[str]:
    return [item.name for item in made.items]


def done(folder: Path, requests: list[Request]) -> None:
    assert {outcome.state for outcome in run_job(folder, requests)} == {"done"}


def test_names_of_the_users_come_first(photos: list[Path], out: Path) -> None:
    """Whatever their place in the list."""
    requests = [
        request_for(photos[0], name=PurePath("a.png")),
        request_for(photos[1], output="a.png"),
        request_for(photos[2], output="sub/./b.png"),
    ]
    assert names(plan(out, requests)) == ["a-2.png", "a.png", "sub/b.png"]


def test_names_of_an_earlier_run_are_kept(photos: list[Path], out: Path) -> None:
    """However the list of photos has changed."""
    requests = [request_for(photo, name=PurePath("a.png")) for photo in photos]
    done(out, requests)
    assert names(plan(out, requests[::-1])) == ["a-3.png", "a-2.png", "a.png"]
    assert names(plan(out, requests[1:2])) == ["a-2.png"]
    assert plan(out, requests).to_do == []


def test_an_earlier_name_that_the_user_gave(photos: list[Path], out: Path) -> None:
    done(out, [request_for(photos[0], output="mine.png")])
    assert names(plan(out, [request_for(photos[0])])) == ["mine.png"]


def test_several_edits_of_a_photo_are_told_apart_by_recipe_and_title(photos: list[Path], out: Path) -> None:
    requests = [request_for(photos[0], steps, title=title) for title in ("night", "winter") for steps in (1, 2)]
    done(out, requests)
    by_name = dict(zip(names(plan(out, requests)), requests, strict=True))
    assert len(by_name) == 4
    again = plan(out, requests[::-1])
    assert [by_name[name] for name in names(again)] == requests[::-1]
    assert again.to_do == []


def test_photos_of_one_name_are_numbered(tmp_path: Path, out: Path) -> None:
    sources = [some_photos(tmp_path / folder, 1)[0] for folder in ("a", "b", "c")]
    assert names(plan(out, [request_for(source) for source in sources])) == [
        "photo-0.png",
        "photo-0-2.png",
        "photo-0-3.png",
    ]


def test_names_that_differ_only_in_case_clash(photos: list[Path], out: Path) -> None:
    requests = [
        request_for(photo, name=PurePath(name)) for photo, name in zip(photos, ("A.png", "a.png"), strict=False)
    ]
    assert names(plan(out, requests)) == ["A.png", "a-2.png"]
    given = [request_for(photo, output=name) for photo, name in zip(photos, ("A.png", "a.png"), strict=False)]
    with pytest.raises(UsageError, match=r"two edits name the output a\.png"):
        plan(out, given)


def test_every_file_of_an_item_counts_for_its_name(photos: list[Path], out: Path) -> None:
    """An item also writes a file that another one's name would take."""
    requests = [request_for(photos[0], output="a.png"), request_for(photos[1], name=PurePath("a.png.json"))]
    assert names(plan(out, requests)) == ["a.png", "a.png-2.json"]
    with pytest.raises(UsageError, match=r"two edits name the output a\.png\.json"):
        plan(out, [request_for(photos[0], output="a.png"), request_for(photos[1], output="a.png.json")])


def test_a_users_file_is_not_replaced(photos: list[Path], out: Path) -> None:
    out.mkdir()
    (out / "photo-0.png").write_bytes(b"the user's own")
    assert names(plan(out, [request_for(photos[0])])) == ["photo-0-2.png"]
    assert names(plan(out, [request_for(photos[0])], overwrite=True)) == ["photo-0.png"]


def test_an_existing_folder_is_used_but_no_file(photos: list[Path], out: Path) -> None:
    (out / "photo-0").mkdir(parents=True)
    (out / "photo-1").write_bytes(b"")
    requests = [request_for(photo, is_folder=True) for photo in photos]
    assert names(plan(out, requests)) == ["photo-0", "photo-1-2", "photo-2"]


def test_names_that_lead_out_are_refused(photos: list[Path], out: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="inside the output folder"):
        plan(out, [request_for(photos[0], output="../a.png")])
    out.mkdir()
    (out / "link").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="link leads out"):
        plan(out, [request_for(photos[0], output="link/a.png")])


def test_4000_photos_of_one_name_need_few_looks_at_the_disk(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [request_for(tmp_path / str(number) / "a.png") for number in range(4000)]
    looks: list[str] = []
    exists = os.path.lexists
    monkeypatch.setattr(os.path, "lexists", lambda path: (looks.append(str(path)), exists(path))[1])
    monkeypatch.setattr("ip2p_cli.jobs.plan.read_size", lambda path: (8, 6))
    made = make_plan(requests, out, None, files_of=files_of, group_of=lambda item: None)
    assert len(set(names(made))) == 4000
    assert names(made)[-1] == "a-4000.png"
    assert len(looks) <= 2 * 4000
    # 4,000 more, where those names are taken: no name is tried twice.
    manifest = open_manifest(out)
    for number, name in enumerate(names(made)):
        source = str(tmp_path / str(number) / "a.png")
        manifest.entries[name] = Entry(name=name, state="done", input=source, recipe={})
    looks.clear()
    made = make_plan(requests, out, manifest, files_of=files_of, group_of=lambda item: None)
    assert names(made)[-1] == "a-8000.png"
    assert len(looks) <= 4 * 4000


def test_what_is_done_is_not_to_do(photos: list[Path], out: Path) -> None:
    requests = [request_for(photo) for photo in photos]
    done(out, requests[:2])
    made = plan(out, requests)
    assert [item.state for item in made.items] == ["done", "done", "to do"]
    assert made.to_do == [2]


def test_a_file_that_is_missing_is_to_do(photos: list[Path], out: Path) -> None:
    requests = [request_for(photo) for photo in photos[:2]]
    done(out, requests)
    (out / "photo-1.png.json").unlink()
    assert plan(out, requests).to_do == [1]


def test_another_recipe_needs_redo(photos: list[Path], out: Path) -> None:
    done(out, [request_for(photo, 4) for photo in photos])
    now = [request_for(photo, 2) for photo in photos]
    with pytest.raises(
        UsageError, match=r"3 of 3 results were made otherwise \(photo-0\.png: steps 4, now 2\)"
    ) as caught:
        plan(out, now)
    assert "--redo" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [item.state for item in plan(out, now, redo=True).items] == ["redo"] * 3
    (out / "photo-0.png").unlink()  # then there is nothing to lose
    with pytest.raises(UsageError, match="2 of 3"):
        plan(out, now)


def test_a_changed_photo_needs_redo(photos: list[Path], out: Path) -> None:
    requests = [request_for(photo) for photo in photos]
    done(out, requests)
    Image.new("RGB", (8, 6), "white").save(photos[1])
    with pytest.raises(UsageError, match=r"1 of 3 .*\.\./photos/photo-1\.png has changed"):
        plan(out, requests)
    assert [item.state for item in plan(out, requests, redo=True).items] == ["done", "redo", "done"]


def test_a_photo_that_was_only_touched_is_done(photos: list[Path], out: Path) -> None:
    requests = [request_for(photo) for photo in photos]
    done(out, requests)
    os.utime(photos[1], (1, 1))
    assert plan(out, requests).to_do == []


def test_photo_and_folder_may_move_together(photos: list[Path], out: Path, tmp_path: Path) -> None:
    done(out, [request_for(photo) for photo in photos])
    (tmp_path / "elsewhere").mkdir()
    for folder in (photos[0].parent, out):
        folder.rename(tmp_path / "elsewhere" / folder.name)
    moved = [tmp_path / "elsewhere" / "photos" / photo.name for photo in photos]
    assert plan(tmp_path / "elsewhere" / "out", [request_for(photo) for photo in moved]).to_do == []
    assert input_name(moved[0], tmp_path / "elsewhere" / "out") == "../photos/photo-0.png"


def test_a_name_that_now_means_another_photo(photos: list[Path], out: Path) -> None:
    done(out, [request_for(photos[0], output="a.png")])
    with pytest.raises(UsageError, match=r"photo \.\./photos/photo-0\.png, now \.\./photos/photo-1\.png"):
        plan(out, [request_for(photos[1], output="a.png")])


def test_a_name_that_now_has_another_title(photos: list[Path], out: Path) -> None:
    done(out, [request_for(photos[0], output="a.png", title="night")])
    with pytest.raises(UsageError, match="“night”, now “fog”"):
        plan(out, [request_for(photos[0], output="a.png", title="fog")])


def recipe(*edits: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"edits": {str(number): edit for number, edit in enumerate(edits, start=1)}, **more}


NIGHT = {"instruction": "night", "steps": 4, "weights": "abc"}
FOG = {"instruction": "fog", "steps": 4, "weights": "abc"}


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        (recipe(NIGHT), recipe(NIGHT), None),
        (recipe(NIGHT), recipe(NIGHT | {"steps": 2}), "steps 4, now 2"),
        (recipe(NIGHT), recipe(FOG), "instruction night, now fog"),
        (recipe(FOG, NIGHT), recipe(FOG, FOG), "edit 2: instruction night, now fog"),
        (recipe(FOG, NIGHT), recipe(FOG), "edit 2 is gone"),
        (recipe(FOG), recipe(FOG, NIGHT), "edit 2 is new"),
        (recipe(NIGHT), recipe(NIGHT | {"weights": None}), None),
        (recipe(NIGHT | {"weights": None}), recipe(NIGHT), "weights None, now abc"),
        (recipe(NIGHT), recipe(NIGHT | {"vae": "sharp"}), "vae None, now sharp"),
        (recipe(NIGHT | {"vae": "sharp"}), recipe(NIGHT), "vae sharp, now None"),
        (recipe(NIGHT, handoff="latent"), recipe(NIGHT, handoff="pixels"), "handoff latent, now pixels"),
        (recipe(NIGHT, output={"quality": 92}), recipe(NIGHT, output={"quality": 80}), "quality 92, now 80"),
        (recipe(NIGHT, output={"quality": 92}), recipe(NIGHT), "output is gone"),
        (recipe(NIGHT), recipe(NIGHT, output={"quality": 92}), "output is new"),
    ],
)
def test_differences_are_described(then: Any, now: Any, expected: str | None) -> None:
    assert difference(then, now) == expected


def items_of(sizes: list[int | None]) -> Any:
    """A rule that puts items of one number together, as many as the number says; None stays alone."""
    by_name = {f"photo-{index}.png": size for index, size in enumerate(sizes)}

    def group_of(item: Item) -> tuple[int, int] | None:
        size = by_name[item.name]
        return (size, size) if size is not None else None

    return group_of


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([2, 2, 2, 2, 2], ((0, 1), (2, 3), (4,))),
        ([2, 3, 2, 3, 3], ((0, 2), (1, 3, 4))),
        ([3, None, 3, 2, 3], ((0, 2, 4), (1,), (3,))),
        ([1, 1], ((0,), (1,))),
        ([], ()),
    ],
)
def test_groups_are_of_one_shape_in_the_plans_order(
    tmp_path: Path, out: Path, sizes: list[int | None], expected: object
) -> None:
    requests = [request_for(photo) for photo in some_photos(tmp_path / "photos", len(sizes))]
    assert plan(out, requests, group_of=items_of(sizes)).groups == expected


def test_groups_do_not_follow_from_what_is_left(photos: list[Path], out: Path) -> None:
    requests = [request_for(photo) for photo in photos]
    whole = plan(out, requests).groups
    done(out, requests[:1])
    made = plan(out, requests)
    assert made.groups == whole == ((0, 1), (2,))
    assert made.open_groups == whole
    done_all = run_job(out, requests)
    assert [outcome.state for outcome in sorted(done_all, key=lambda o: o.index)] == ["skipped", "done", "done"]
    assert plan(out, requests).open_groups == ()


def test_parts_share_the_groups(tmp_path: Path, out: Path) -> None:
    requests = [request_for(photo) for photo in some_photos(tmp_path / "photos", 7)]
    made = plan(out, requests)
    parts = [made.part(number, 3) for number in (1, 2, 3)]
    assert [part.indices for part in parts] == [[0, 1, 6], [2, 3], [4, 5]]
    assert all(part.items == made.items for part in parts)


def test_a_photo_that_cannot_be_read_stays_in_the_plan(tmp_path: Path, out: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"none")
    [item] = plan(out, [request_for(tmp_path / "bad.png")]).items
    assert item.size is None
    assert item.state == "to do"


def test_a_folder_of_the_version_before_is_refused_and_left_alone(photos: list[Path], out: Path) -> None:
    out.mkdir()
    item = {"output": "a.png", "state": "done", "input": "../photos/photo-0.png", "instruction": "x"}
    line = json.dumps({"item": item | {"settings": {"steps": 4}, "sha256": "00"}}) + "\n"
    (out / "ip2p-manifest.jsonl").write_text(line)
    (out / "a.png").write_bytes(b"made then")
    with pytest.raises(UsageError, match=r"made by ip2p 0\.1, which cannot be continued: give another -o"):
        run_job(out, [request_for(photos[0])])
    assert (out / "ip2p-manifest.jsonl").read_text() == line
    assert contents(out) == {"a.png": b"made then"}
    assert open_manifest(out).earlier_inputs == {"a.png": "../photos/photo-0.png"}  # replay finds the photo by it


@pytest.mark.parametrize("parts", [("", "1-of-2"), ("1-of-2", ""), ("2-of-2", "1-of-2")])
def test_the_last_run_counts_whichever_file_it_wrote_to(photos: list[Path], out: Path, parts: tuple[str, str]) -> None:
    """A folder is read the same in any order of its manifests."""
    then, now = ([request_for(photo, steps) for photo in photos] for steps in (4, 2))
    run_job(out, then, part=parts[0])
    run_job(out, now, part=parts[1], redo=True)
    assert plan(out, now).to_do == []
    with pytest.raises(UsageError, match="steps 2, now 4"):
        plan(out, then)
    run_job(out, then, part=parts[0], redo=True)
    assert plan(out, then).to_do == []


def test_the_entry_names_the_photo_and_its_content(photos: list[Path], out: Path) -> None:
    done(out, [request_for(photos[0], title="night")])
    [entry] = open_manifest(out).entries.values()
    assert (entry.name, entry.state, entry.title) == ("photo-0.png", "done", "night")
    assert (entry.input, entry.input_sha256) == ("../photos/photo-0.png", file_digest(photos[0]))
    assert entry.input_stamp == file_stamp(photos[0])
