"""Running a plan: photos are read ahead and results saved behind, while the model works on the group in hand."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from ip2p_cli.errors import InputError, Ip2pError, LeftOutError, OutputError
from ip2p_cli.io.names import printable, reason
from ip2p_cli.jobs.item import Item, Outcome
from ip2p_cli.jobs.job_work import FatalError, Finish, Read, Saved, Work
from ip2p_cli.jobs.manifest import Entry, Manifest, file_stamp
from ip2p_cli.jobs.output_files import OutputFiles, check_writable
from ip2p_cli.jobs.plan import Plan, input_name, is_done

_GROUPS_AHEAD = 2
_REFRESH_SECONDS = 1.0


@dataclass(kw_only=True, eq=False)
class _InHand:
    """An item being worked on."""

    index: int
    item: Item
    read: Read | None = None
    error: Ip2pError | None = None
    stamp: str | None = None
    seconds: float = 0.0


@dataclass(kw_only=True)
class Runner:
    """Runs a plan.

    Attributes:
        plan: What to do.
        work: What a job does with its items.
        manifest: Where results are noted; None if nowhere.
        on_units: Told (units done, all units) of the plan's open items.
    """

    plan: Plan
    work: Work
    manifest: Manifest | None = None
    on_units: Callable[[int, int], None] = lambda done, total: None
    _done: int = field(default=0, init=False)
    _total: int = field(default=0, init=False)
    _refreshed: float = field(default=0.0, init=False)

    def run(self) -> Iterator[Outcome]:
        """Yield an outcome for each item of the plan's groups, as soon as it is known.

        An item that fails does not stop the others. When the caller stops iterating, or an exception comes (Ctrl-C),
        files that are being saved are saved whole and the rest is dropped.
        Raises OutputError at once where there is work to do and the folder cannot be written to.
        """
        if self.manifest is not None and self.plan.to_do:
            check_writable(self.plan.folder)
        self._total = sum(self.work.units(self.plan.items[index]) for index in self.plan.to_do)
        for group in set(self.plan.groups) - set(self.plan.open_groups):
            yield from (self._skipped(index) for index in group)
        with ThreadPoolExecutor(2, "read") as readers, ThreadPoolExecutor(2, "save") as savers:
            pending: deque[Future[Outcome]] = deque()
            try:
                for group, in_hand in self._read_ahead(readers):
                    yield from (self._skipped(index) for index in group if index not in in_hand)
                    pending.extend(self._run_group(group, in_hand, savers))
                    # Results wait as full-size pictures: not too many of them.
                    while pending and (pending[0].done() or len(pending) > _GROUPS_AHEAD * max(len(group), 2)):
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            except FatalError as fatal:
                raise fatal.error from None
            finally:
                readers.shutdown(wait=False, cancel_futures=True)
                savers.shutdown(wait=True, cancel_futures=True)

    def _skipped(self, index: int) -> Outcome:
        item = self.plan.items[index]
        entry = self.manifest.entries.get(item.name) if self.manifest is not None else None
        verdicts = entry.verdicts if entry is not None else item.verdicts
        return Outcome(index=index, state="skipped", results=self._paths(item), verdicts=verdicts)

    def _paths(self, item: Item) -> tuple[Path, ...]:
        return tuple(self.plan.folder / name for name in self.work.results(item))

    def _read_ahead(self, readers: ThreadPoolExecutor) -> Iterator[tuple[tuple[int, ...], dict[int, _InHand]]]:
        """Yield the open groups with their photos read, a few groups before they are needed."""

        def begin(group: tuple[int, ...]) -> tuple[tuple[int, ...], dict[int, Future[_InHand]]]:
            if self.manifest is not None and time.monotonic() - self._refreshed > _REFRESH_SECONDS:
                self.manifest.refresh()  # another process may have done some meanwhile
                self._refreshed = time.monotonic()
            return group, {index: readers.submit(self._read, index) for index in group if self._is_open(index)}

        groups = iter(self.plan.open_groups)
        queue = deque(begin(group) for group in islice(groups, _GROUPS_AHEAD))
        while queue:
            group, futures = queue.popleft()
            yield group, {index: future.result() for index, future in futures.items()}
            queue.extend(begin(group) for group in islice(groups, 1))

    def _is_open(self, index: int) -> bool:
        item = self.plan.items[index]
        return item.state != "done" and not (self.manifest is not None and is_done(item, self.manifest))

    def _files(self, item: Item) -> OutputFiles:
        return OutputFiles(self.plan.folder, self.manifest, overwrite=item.overwrite)

    def _read(self, index: int) -> _InHand:
        began, item = time.monotonic(), self.plan.items[index]
        in_hand = _InHand(index=index, item=item, stamp=file_stamp(item.source))
        with self._catching(in_hand, began):
            in_hand.read = self.work.read(item, self._files(item))
        return in_hand

    def _run_group(
        self, group: tuple[int, ...], in_hand: Mapping[int, _InHand], savers: ThreadPoolExecutor
    ) -> Iterator[Future[Outcome]]:
        units = sum(self.work.units(one.item) for one in in_hand.values())
        ready = {one.index: one.read for one in in_hand.values() if one.read is not None and one.read.missing}
        finishes: dict[int, Finish] = {}
        began, before = time.monotonic(), self._done
        if ready:
            places = {group.index(index): read for index, read in ready.items()}
            try:
                finishes = dict(
                    self.work.run([self.plan.items[i] for i in group], places, lambda done: self._report(before + done))
                )
            except FatalError:
                raise
            except Exception as error:
                for index in ready:
                    in_hand[index].error = _error_of(in_hand[index].item, error)
            for index in ready:
                in_hand[index].seconds += (time.monotonic() - began) / len(ready)
        self._done = before + units
        self._report(self._done)
        for one in in_hand.values():
            finish = finishes.get(group.index(one.index))
            yield savers.submit(self._finish, one, finish)

    def _report(self, done: int) -> None:
        self.on_units(done, self._total)

    def _finish(self, one: _InHand, finish: Finish | None) -> Outcome:
        began, saved = time.monotonic(), Saved(results=self._paths(one.item))
        if one.error is None:
            with self._catching(one, began):
                if finish is not None:
                    if self.manifest is not None:
                        self.manifest.note(self._entry(one, "started"))
                    saved = finish()
                elif one.read is not None and one.read.verdicts is not None:
                    saved = replace(saved, verdicts=one.read.verdicts())
                if self.manifest is not None:
                    self.manifest.note(replace(self._entry(one, "done"), verdicts=saved.verdicts))
        if one.error is not None:
            return self._failed(one)
        notes = (*(one.read.notes if one.read else ()), *saved.notes)
        return Outcome(
            index=one.index,
            state="done" if finish is not None else "skipped",
            seconds=one.seconds,
            results=saved.results,
            records=saved.records,
            notes=notes,
            verdicts=saved.verdicts,
        )

    def _failed(self, one: _InHand) -> Outcome:
        is_left_out = isinstance(one.error, LeftOutError)
        if self.manifest is not None:
            with contextlib.suppress(Ip2pError):  # a full disk: the error itself is reported all the same
                self.manifest.refresh()
                if is_done(one.item, self.manifest):  # another process did it meanwhile
                    return self._skipped(one.index)
                if self.plan.folder.is_dir():
                    self.manifest.note(self._entry(one, "skipped" if is_left_out else "failed"))
        state: Literal["left out", "failed"] = "left out" if is_left_out else "failed"
        return Outcome(index=one.index, state=state, error=one.error, seconds=one.seconds)

    def _entry(self, one: _InHand, state: str) -> Entry:
        return Entry(
            name=one.item.name,
            state=state,
            input=input_name(one.item.source, self.plan.folder),
            recipe=one.item.recipe,
            title=one.item.title,
            input_sha256=one.read.sha256 if one.read else None,
            input_stamp=one.stamp,
            seconds=round(one.seconds, 3),
            reason=str(one.error) if one.error else None,
        )

    @contextlib.contextmanager
    def _catching(self, one: _InHand, began: float) -> Iterator[None]:
        """Turn whatever goes wrong with an item into its error, and add the time to its seconds."""
        try:
            yield
        except FatalError:
            raise
        except Exception as error:
            one.error = _error_of(one.item, error)
        one.seconds += time.monotonic() - began


def _error_of(item: Item, error: Exception) -> Ip2pError:
    """What to tell the user of whatever went wrong with an item."""
    if isinstance(error, Ip2pError):
        return error
    if isinstance(error, OSError):
        return OutputError(f"{printable(item.source)}: {reason(error)}")
    lines = str(error).strip().splitlines() or ["no reason given"]
    return InputError(f"{printable(item.source)}: cannot be edited ({type(error).__name__}: {printable(lines[0])})")


def in_order(outcomes: Iterable[Outcome], indices: Sequence[int]) -> Iterator[Outcome]:
    """Yield the outcomes in the order of `indices`, each as soon as those before it are known."""
    waiting: dict[int, Outcome] = {}
    order = deque(indices)
    for outcome in outcomes:
        waiting[outcome.index] = outcome
        while order and order[0] in waiting:
            yield waiting.pop(order.popleft())


def absolute(plan: Plan) -> Plan:
    """Return the plan with absolute paths: workers may have another current folder."""
    items = tuple(replace(item, source=item.source.absolute()) for item in plan.items)
    return replace(plan, folder=plan.folder.absolute(), items=items)
