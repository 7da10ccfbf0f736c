"""Running a plan: what fails alone, what ends the job, what is written when."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ip2p_cli.errors import InputError, Ip2pError, ModelError, UsageError
from ip2p_cli.jobs.item import Item, Outcome
from ip2p_cli.jobs.job_work import FatalError
from ip2p_cli.jobs.manifest import Manifest, open_manifest
from ip2p_cli.jobs.runner import Runner, absolute, in_order
from tests.jobs.fake_work import FakeWork, contents, plan_job, request_for, run_job, some_photos


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return some_photos(tmp_path / "photos", 5)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def by_index(outcomes: list[Outcome]) -> list[Outcome]:
    assert len({outcome.index for outcome in outcomes}) == len(outcomes)
    return sorted(outcomes, key=lambda outcome: outcome.index)


def states(outcomes: list[Outcome]) -> list[str]:
    return [outcome.state for outcome in by_index(outcomes)]


def for_item(name: str, error: BaseException) -> Callable[[Item], None]:
    """Raises an error for one item."""

    def check(item: Item) -> None:
        if item.name == name:
            raise error

    return check


def for_group(name: str, error: BaseException) -> Callable[[list[Item]], None]:
    """Raises an error for the group of an item."""

    def check(items: list[Item]) -> None:
        if name in [item.name for item in items]:
            raise error

    return check


def test_each_item_has_an_outcome(photos: list[Path], out: Path) -> None:
    work = FakeWork()
    outcomes = by_index(run_job(out, [request_for(photo) for photo in photos], work=work))
    assert [outcome.index for outcome in outcomes] == [0, 1, 2, 3, 4]
    assert states(outcomes) == ["done"] * 5
    assert [outcome.results for outcome in outcomes] == [(out / photo.name,) for photo in photos]
    assert all(outcome.records == ({"steps": 4},) for outcome in outcomes)
    assert all(outcome.seconds > 0 for outcome in outcomes)
    assert work.groups == [["photo-0.png", "photo-1.png"], ["photo-2.png", "photo-3.png"], ["photo-4.png"]]
    assert len(contents(out)) == 10


def test_outcomes_come_in_the_order_of_the_groups(photos: list[Path], out: Path) -> None:
    requests = [request_for(photo) for photo in photos]
    found = run_job(out, requests, group_of=lambda item: (item.name[-5] in "13", 2))
    assert [outcome.index for outcome in found] == [0, 2, 1, 3, 4]
    assert [outcome.index for outcome in in_order(found, range(5))] == [0, 1, 2, 3, 4]


def test_order_is_made_as_soon_as_it_can_be() -> None:
    """Not only at the end."""
    given: list[int] = []

    def outcomes() -> object:
        for index in (1, 0, 2):
            given.append(index)
            yield Outcome(index=index, state="done")

    ordered = in_order(outcomes(), [0, 1, 2])  # type: ignore[arg-type]
    assert next(ordered).index == 0
    assert given == [1, 0]
    assert [outcome.index for outcome in ordered] == [1, 2]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InputError("the photo is broken: get another"), "the photo is broken: get another"),
        (OSError(5, "Input/output error"), "input/output error"),
        (ValueError("two\nlines"), "cannot be edited (ValueError: two)"),
        (KeyError(), "cannot be edited (KeyError: no reason given)"),
        (MemoryError(), "cannot be edited (MemoryError: no reason given)"),
        (ValueError("\x1b[31mred"), "cannot be edited (ValueError: "),
        (ModelError("the model overflowed"), "the model overflowed"),
    ],
)
def test_an_item_fails_alone_in_one_line(photos: list[Path], out: Path, error: Exception, expected: str) -> None:
    work = FakeWork(before_write=for_item("photo-1.png", error))
    outcomes = by_index(run_job(out, [request_for(photo) for photo in photos], work=work))
    assert states(outcomes) == ["done", "failed", "done", "done", "done"]
    failure = outcomes[1].error
    assert isinstance(failure, Ip2pError)
    assert expected in str(failure)
    assert str(failure).isprintable()
    assert isinstance(error, Ip2pError) or "photo-1.png" in str(failure)
    entry = open_manifest(out).entries["photo-1.png"]
    assert (entry.state, entry.reason) == ("failed", str(failure))


def test_a_photo_that_cannot_be_read_fails_alone(photos: list[Path], out: Path) -> None:
    photos[1].unlink()
    outcomes = by_index(run_job(out, [request_for(photo) for photo in photos]))
    assert states(outcomes) == ["done", "failed", "done", "done", "done"]
    assert "photo-1.png" in str(outcomes[1].error)


@pytest.mark.parametrize("error", [ModelError("out of memory"), RuntimeError("CUDA error\nmore")])
def test_a_group_fails_together(photos: list[Path], out: Path, error: Exception) -> None:
    work = FakeWork(before_run=for_group("photo-2.png", error))
    outcomes = by_index(run_job(out, [request_for(photo) for photo in photos], work=work))
    assert states(outcomes) == ["done", "done", "failed", "failed", "done"]
    for outcome in outcomes[2:4]:
        assert "\n" not in str(outcome.error)
        assert str(error).splitlines()[0] in str(outcome.error)
    assert [entry.state for entry in open_manifest(out).entries.values()].count("failed") == 2


def test_each_item_of_a_failed_group_is_named(photos: list[Path], out: Path) -> None:
    work = FakeWork(before_run=for_group("photo-2.png", RuntimeError("a bug")))
    outcomes = by_index(run_job(out, [request_for(photo) for photo in photos], work=work))
    for outcome in outcomes[2:4]:
        assert photos[outcome.index].name in str(outcome.error)


def test_what_failed_is_tried_again(photos: list[Path], out: Path) -> None:
    requests = [request_for(photo) for photo in photos]
    run_job(out, requests, work=FakeWork(before_write=for_item("photo-1.png", ValueError("x"))))
    work = FakeWork()
    assert states(run_job(out, requests, work=work)) == ["skipped", "done", "skipped", "skipped", "skipped"]
    assert work.groups == [["photo-0.png", "photo-1.png"]]  # the group keeps its shape
    assert {entry.state for entry in open_manifest(out).entries.values()} == {"done"}


@pytest.mark.parametrize("where", ["before_run", "before_write"])
def test_a_fatal_error_ends_the_job(photos: list[Path], out: Path, where: str) -> None:
    error = ModelError("the model cannot be had: give another")
    check = (for_group if where == "before_run" else for_item)("photo-2.png", FatalError(error))
    work = FakeWork(**{where: check})  # type: ignore[arg-type]
    with pytest.raises(ModelError) as caught:
        run_job(out, [request_for(photo) for photo in photos], work=work)
    assert caught.value is error
    entries = open_manifest(out).entries
    assert {entry.state for entry in entries.values()} <= {"started", "done"}  # no item failed
    assert {f"{name}.json" for name, entry in entries.items() if entry.state == "done"} <= set(contents(out))


def test_what_is_done_is_skipped_without_reading(photos: list[Path], out: Path) -> None:
    requests = [request_for(photo) for photo in photos]
    run_job(out, requests)
    for photo in photos:
        photo.unlink()
    work = FakeWork()
    outcomes = by_index(run_job(out, requests, work=work))
    assert states(outcomes) == ["skipped"] * 5
    assert work.groups == []
    assert [outcome.results for outcome in outcomes] == [(out / photo.name,) for photo in photos]
    assert {outcome.records for outcome in outcomes} == {()}


def test_whole_files_without_an_entry_are_noted_without_running(photos: list[Path], out: Path) -> None:
    """The process died between the last file and the item's entry."""
    requests = [request_for(photo) for photo in photos]
    run_job(out, requests)
    manifest = out / "ip2p-manifest.jsonl"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(line for line in lines if '"state": "done"' not in line))
    before = contents(out)
    work = FakeWork()
    assert states(run_job(out, requests, work=work)) == ["skipped"] * 5
    assert work.groups == []
    assert contents(out) == before
    assert {entry.state for entry in open_manifest(out).entries.values()} == {"done"}


def test_only_missing_files_are_written(photos: list[Path], out: Path) -> None:
    requests = [request_for(photos[0])]
    run_job(out, requests)
    (out / "photo-0.png.json").unlink()
    before = (out / "photo-0.png").stat()
    assert states(run_job(out, requests)) == ["done"]
    assert (out / "photo-0.png").stat() == before
    assert (out / "photo-0.png.json").exists()


def test_what_another_process_did_meanwhile_is_skipped(photos: list[Path], out: Path) -> None:
    requests = [request_for(photo) for photo in photos]
    plan, manifest = plan_job(out, requests)
    run_job(out, requests, part="1-of-2")
    work = FakeWork()
    outcomes = list(Runner(plan=plan, work=work, manifest=manifest).run())
    assert states(outcomes) == ["skipped"] * 5
    assert work.groups == []


def test_what_another_process_does_at_the_same_time_is_no_failure(photos: list[Path], out: Path) -> None:
    requests = [request_for(photo) for photo in photos]

    def other_process(items: list[Item]) -> None:
        run_job(out, requests, part="1-of-2")

    outcomes = run_job(out, requests, work=FakeWork(before_run=other_process))
    assert set(states(outcomes)) <= {"done", "skipped"}
    assert {entry.state for entry in open_manifest(out).entries.values()} == {"done"}
    assert len(contents(out)) == 10


def test_items_and_files_are_noted_before_they_are_written(
    photos: list[Path], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[tuple[str, str]] = []
    note, note_file = Manifest.note, Manifest.note_file

    def noted(self: Manifest, entry: object) -> None:
        events.append((entry.state, entry.name))  # type: ignore[attr-defined]
        note(self, entry)  # type: ignore[arg-type]

    def noted_file(self: Manifest, file: object) -> None:
        name = file.name  # type: ignore[attr-defined]
        events.append(("note", name))
        assert not (out / name).exists()
        note_file(self, file)  # type: ignore[arg-type]

    monkeypatch.setattr(Manifest, "note", noted)
    monkeypatch.setattr(Manifest, "note_file", noted_file)
    run_job(out, [request_for(photos[0])])
    assert events == [
        ("started", "photo-0.png"),
        ("note", "photo-0.png"),
        ("note", "photo-0.png.json"),
        ("done", "photo-0.png"),
    ]


def test_stopping_early_leaves_whole_files(photos: list[Path], out: Path) -> None:
    requests = [request_for(photo) for photo in photos]
    run_job(out.with_name("whole"), requests)
    expected = contents(out.with_name("whole"))
    plan, manifest = plan_job(out, requests)
    outcomes = Runner(plan=plan, work=FakeWork(), manifest=manifest).run()
    first = next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert first.state == "done"
    assert 0 < len(contents(out)) < 10
    assert contents(out).items() <= expected.items()
    assert not list(out.glob(".ip2p-*"))
    assert set(states(run_job(out, requests))) == {"done", "skipped"}
    assert contents(out) == expected


def test_ctrl_c_saves_what_is_being_saved(photos: list[Path], out: Path) -> None:
    """A picture that is being written when the user stops the job is whole afterwards."""
    is_writing, go_on = threading.Event(), threading.Event()

    def slowly(item: Item) -> None:
        if item.name == "photo-0.png":
            is_writing.set()
            assert go_on.wait(10)

    def stop(items: list[Item]) -> None:
        if items[0].name == "photo-2.png":
            assert is_writing.wait(10)
            go_on.set()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(out, [request_for(photo) for photo in photos], work=FakeWork(before_run=stop, before_write=slowly))
    assert {"photo-0.png", "photo-0.png.json"} <= set(contents(out))
    assert open_manifest(out).entries["photo-0.png"].state == "done"


def test_photos_are_read_only_a_little_ahead(photos: list[Path], out: Path) -> None:
    plan, manifest = plan_job(out, [request_for(photo) for photo in photos], group_of=lambda item: None)
    read: list[str] = []

    class Watched(FakeWork):
        def read(self, item: Item, files: object) -> object:
            read.append(item.name)
            return super().read(item, files)  # type: ignore[arg-type]

    at_run: list[int] = []
    work = Watched(before_run=lambda items: at_run.append(len(read)))
    list(Runner(plan=plan, work=work, manifest=manifest).run())  # type: ignore[arg-type]
    assert len(read) == 5
    assert all(count <= group + 3 for group, count in enumerate(at_run))


def test_progress_counts_up_to_all_open_items(photos: list[Path], out: Path) -> None:
    requests = [request_for(photo) for photo in photos]
    run_job(out, requests[:2])
    plan, manifest = plan_job(out, requests)
    told: list[tuple[int, int]] = []
    work = FakeWork(before_write=for_item("photo-3.png", ValueError("x")))
    runner = Runner(plan=plan, work=work, manifest=manifest, on_units=lambda done, total: told.append((done, total)))
    list(runner.run())
    assert {total for _, total in told} == {12}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (12, 12)


def test_without_a_manifest_nothing_is_noted(photos: list[Path], out: Path) -> None:
    out.mkdir()
    assert states(run_job(out, [request_for(photos[0])], noted=False)) == ["done"]
    assert set(contents(out)) == {"photo-0.png", "photo-0.png.json"}
    assert len(list(out.iterdir())) == 2
    [outcome] = run_job(out, [request_for(photos[0], output="photo-0.png")], noted=False)
    assert outcome.state == "failed"
    assert "exists already" in str(outcome.error)


def test_plans_for_other_processes_have_absolute_paths(
    photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan, _ = plan_job(Path("out"), [request_for(Path("photos") / photos[0].name)])
    there = absolute(plan)
    assert there.folder == tmp_path / "out"
    assert [item.source for item in there.items] == photos[:1]
    assert there.groups == plan.groups


def test_two_names_for_one_output_are_refused_before_anything_runs(photos: list[Path], out: Path) -> None:
    with pytest.raises(UsageError, match="two edits name the output"):
        run_job(out, [request_for(photo, output="a.png") for photo in photos[:2]])
    assert not out.exists()
