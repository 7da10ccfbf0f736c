"""A job that fails or dies at any write is finished by the same command, to the byte."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath

import pytest

from ip2p_cli.errors import OutputError, UsageError
from ip2p_cli.jobs import runner
from ip2p_cli.jobs.item import Outcome
from tests.faults import MODES, Killed, Mode, fault
from tests.jobs.fake_work import contents, request_for, run_job, some_photos

THEN, NOW = 4, 2  # steps: what decides the bytes
MOST_CALLS = 200
# How it fails, and whether the disk has hard links.
WAYS: list[tuple[Mode, bool]] = [*((mode, True) for mode in MODES), ("error", False), ("killed", False)]


@pytest.fixture(autouse=True)
def one_saver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls come in the same order in each run."""
    monkeypatch.setattr(runner, "ThreadPoolExecutor", lambda workers, name: ThreadPoolExecutor(1, name))


@pytest.fixture(autouse=True)
def no_power_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has to wait for the disk."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return some_photos(tmp_path / "photos", 2)


@pytest.fixture(params=["files", "folders"])
def job(request: pytest.FixtureRequest, photos: list[Path]) -> Callable[..., list[Outcome]]:
    is_folder = request.param == "folders"

    def run(folder: Path, steps: int, *, redo: bool = False) -> list[Outcome]:
        return run_job(folder, [request_for(photo, steps, is_folder=is_folder) for photo in photos], redo=redo)

    return run


Job = Callable[..., list[Outcome]]


def disturbed(before: Path, mode: Mode, run: Callable[[Path], object], *, hard_links: bool = True) -> Iterator[Path]:
    """For each call at which `run` can fail, a copy of the folder `before` in which it did."""
    before.mkdir(exist_ok=True)
    for at in range(1, MOST_CALLS):
        folder = before.with_name(f"at-{at}")
        shutil.copytree(before, folder)
        with fault(at=at, mode=mode, hard_links=hard_links) as faults, contextlib.suppress(Killed):
            run(folder)
        yield folder
        if not faults.has_struck:
            assert at > 5, "the calls that write were not seen"
            return
    pytest.fail("more calls than expected")


def states(outcomes: list[Outcome]) -> set[str]:
    return {outcome.state for outcome in outcomes}


@pytest.mark.parametrize(("mode", "hard_links"), WAYS)
def test_a_first_run(tmp_path: Path, job: Job, mode: Mode, hard_links: bool) -> None:
    job(tmp_path / "whole", THEN)
    expected = contents(tmp_path / "whole")
    for folder in disturbed(tmp_path / "before", mode, lambda at: job(at, THEN), hard_links=hard_links):
        for name, data in contents(folder).items():
            assert data == expected[name] or (data == b"" and not hard_links)  # only the name is reserved
        assert states(job(folder, THEN)) <= {"done", "skipped"}
        assert contents(folder) == expected
        assert states(job(folder, THEN)) == {"skipped"}
        assert contents(folder) == expected


@pytest.mark.parametrize("then", [THEN, NOW])
@pytest.mark.parametrize(("mode", "hard_links"), WAYS)
def test_a_redo(tmp_path: Path, job: Job, mode: Mode, hard_links: bool, then: int) -> None:
    """Afterwards the user wants what the redo was for, or what was there before."""
    job(tmp_path / "before", THEN)
    job(tmp_path / "whole", then)
    expected = contents(tmp_path / "whole")
    for folder in disturbed(tmp_path / "before", mode, lambda at: job(at, NOW, redo=True), hard_links=hard_links):
        before = contents(folder)
        try:
            outcomes = job(folder, then)
        except UsageError:  # give --redo
            assert contents(folder) == before
            outcomes = job(folder, then, redo=True)
        assert states(outcomes) <= {"done", "skipped"}
        assert contents(folder) == expected
        assert states(job(folder, then)) == {"skipped"}
        assert contents(folder) == expected


@pytest.mark.parametrize("mode", MODES)
def test_two_runs_that_fail(tmp_path: Path, job: Job, mode: Mode) -> None:
    """The second run fails as well, at each call; the third finishes."""
    job(tmp_path / "whole", NOW)
    expected = contents(tmp_path / "whole")
    job(tmp_path / "before", THEN)
    with fault(at=12, mode=mode), contextlib.suppress(Killed):
        job(tmp_path / "before", NOW, redo=True)
    for folder in disturbed(tmp_path / "before", mode, lambda at: job(at, NOW, redo=True)):
        assert states(job(folder, NOW, redo=True)) <= {"done", "skipped"}
        assert contents(folder) == expected
        assert states(job(folder, NOW)) == {"skipped"}


@pytest.mark.parametrize("mode", MODES)
def test_files_of_the_users_survive(tmp_path: Path, photos: list[Path], mode: Mode) -> None:
    """A user's file has a result's name: nothing replaces it, whatever fails."""
    requests = [request_for(photo, output=f"{number}.png") for number, photo in enumerate(photos)]
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "1.png").write_bytes(b"the user's own")
    for folder in disturbed(tmp_path / "before", mode, lambda at: run_job(at, requests)):
        outcomes = run_job(folder, requests)
        assert {outcome.index: outcome.state for outcome in outcomes}[1] == "failed"
        assert contents(folder)["1.png"] == b"the user's own"
        assert "0.png" in contents(folder)


@pytest.mark.parametrize("mode", MODES)
def test_overwriting_without_a_manifest(tmp_path: Path, photos: list[Path], mode: Mode) -> None:
    """An existing file is the old or the new one, never half of one; and it is replaced by the next run."""
    request = request_for(photos[0], output="a.png")

    def overwrite(folder: Path) -> list[Outcome]:
        return run_job(folder, [request], noted=False, overwrite=True)

    (tmp_path / "whole").mkdir()
    overwrite(tmp_path / "whole")
    expected = contents(tmp_path / "whole")
    assert set(expected) == {"a.png", "a.png.json"}
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "a.png").write_bytes(b"old")
    for folder in disturbed(tmp_path / "before", mode, overwrite):
        assert contents(folder)["a.png"] in (b"old", expected["a.png"])
        assert states(overwrite(folder)) == {"done"}
        assert contents(folder) == expected


def test_a_full_disk_is_one_line_an_item(tmp_path: Path, job: Job) -> None:
    with fault(at=1, mode="full"):
        outcomes = job(tmp_path / "out", THEN)
    assert [outcome.state for outcome in outcomes] == ["failed", "failed"]
    for outcome in outcomes:
        assert isinstance(outcome.error, OutputError)
        assert "\n" not in str(outcome.error)
        assert "space" in str(outcome.error)


def test_killed_processes_leave_only_temporary_files(tmp_path: Path, job: Job) -> None:
    job(tmp_path / "whole", THEN)
    expected = {*contents(tmp_path / "whole"), "ip2p-manifest.jsonl"}
    more = set()
    for folder in disturbed(tmp_path / "before", "killed", lambda at: job(at, THEN)):
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        more |= {PurePath(name).suffix for name in names - expected}
    assert more == {".tmp"}
