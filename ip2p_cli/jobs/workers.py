"""Runs tasks in this process, in processes of this machine, or on a Ray cluster; results come as they are ready.

`make(number)` creates the worker of a process: a function from a task to its result. It is called once in each process,
in the process itself. `make`, tasks and results are pickled unless they stay in this process.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any, TypeVar

from ip2p_cli.errors import Ip2pError, UsageError
from ip2p_cli.types import EngineName

Task = TypeVar("Task")
Result = TypeVar("Result")
MakeWorker = Callable[[int], Callable[[Task], Result]]
Results = Iterator[tuple[Task, Result | Exception]]


def map_tasks(
    make: MakeWorker[Task, Result], tasks: Sequence[Task], *, workers: int | None, engine: EngineName
) -> Results[Task, Result]:
    """Run tasks with the chosen engine.

    Args:
        make: Creates a worker, given its number, from 1.
        tasks: They must bear being repeated.
        workers: The number of processes. None is this process, or with "ray" one for each GPU of the cluster.
        engine: "local" or "ray".

    Yields:
        Each task with its result or its exception. In this process only an Ip2pError counts, others are raised.

    Raises:
        Ip2pError: A worker could not be created.
        UsageError: Ray is not installed.
    """
    if not tasks:
        return
    if engine == "ray":
        yield from map_on_ray(make, tasks, workers)
    elif workers is not None and workers > 1:
        yield from map_on_processes(make, tasks, workers)
    else:
        work = make(1)
        for task in tasks:
            try:
                yield task, work(task)
            except Ip2pError as error:
                yield task, error


def map_on_processes(make: MakeWorker[Task, Result], tasks: Sequence[Task], workers: int) -> Results[Task, Result]:
    """Run tasks in new processes of this machine; see `map_tasks`.

    A process that dies is started again and its task repeated once; a second death is the task's ChildProcessError.
    The processes end with the caller's loop. They ignore Ctrl-C, which this process handles.
    """
    waiting = iter(tasks)
    busy: list[_ChildProcess] = []
    with ExitStack() as stack:
        for number, task in zip(range(1, workers + 1), waiting, strict=False):
            child = _ChildProcess(make, number)
            stack.callback(child.stop)
            child.send(task)
            busy.append(child)
        while busy:
            ready = connection.wait([child.pipe for child in busy])
            for child in [child for child in busy if child.pipe in ready]:
                outcome = child.receive()
                if outcome is None:
                    continue
                done = child.task
                try:
                    child.send(next(waiting))
                except StopIteration:
                    busy.remove(child)
                    child.pipe.close()  # the process ends by itself
                yield done, outcome.result()


def ray_library() -> Any:
    """Import Ray; raises UsageError where it is not installed."""
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise UsageError("--engine ray needs Ray, which is not installed: pip install 'ip2p[ray]'") from None


def map_on_ray(
    make: MakeWorker[Task, Result], tasks: Sequence[Task], workers: int | None = None
) -> Results[Task, Result]:
    """Run tasks on a Ray cluster; see `map_tasks`.

    RAY_ADDRESS names a running cluster; without it one is started on this machine for the length of the call. A worker
    that dies is started again and its task repeated once.
    """
    ray = ray_library()
    started = not ray.is_initialized()
    if started:
        address = os.environ.get("RAY_ADDRESS")
        local = {} if address else {"num_cpus": max(workers or 1, os.cpu_count() or 1), "include_dashboard": False}
        ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **local)
    try:
        gpus = int(ray.cluster_resources().get("GPU", 0))
        count = max(1, min(workers or gpus or 1, len(tasks)))
        share = min(1.0, gpus / count) if gpus else 0
        actor = ray.remote(num_cpus=1, num_gpus=share, max_restarts=1, max_task_retries=1)(_Worker)
        yield from _hand_out(ray, [actor.remote(make, number) for number in range(1, count + 1)], tasks)
    finally:
        if started:
            ray.shutdown()


def _hand_out(ray: Any, actors: list[Any], tasks: Sequence[Task]) -> Iterator[tuple[Task, Any]]:
    waiting = iter(tasks)
    running = {actor.run.remote(task): (actor, task) for actor, task in zip(actors, waiting, strict=False)}
    while running:
        (ready, *_), _ = ray.wait(list(running))
        actor, task = running.pop(ready)
        try:
            result = ray.get(ready).result()
        except ray.exceptions.RayError as error:
            result = error
        with suppress(StopIteration):
            another = next(waiting)
            running[actor.run.remote(another)] = (actor, another)
        yield task, result


@dataclass(frozen=True)
class _Outcome:
    """What a task came to: its result, its error, or the error of creating the worker."""

    value: Any
    is_setup_error: bool = False

    def result(self) -> Any:
        """The result or the task's error; raises the error of creating the worker."""
        if self.is_setup_error:
            raise self.value
        return self.value


class _Worker:
    """Runs tasks in a process that is not the first; creates what it works with at the first task."""

    def __init__(self, make: MakeWorker[Any, Any], number: int) -> None:
        self._make, self._number = make, number
        self._work: Callable[[Any], Any] | None = None

    def run(self, task: Any) -> _Outcome:
        """Run a task; exceptions that may not bear pickling are returned as RuntimeError."""
        try:
            if self._work is None:
                self._work = self._make(self._number)
            return _Outcome(self._work(task))
        except Exception as error:
            portable = error if isinstance(error, Ip2pError) else RuntimeError(f"{type(error).__name__}: {error}")
            return _Outcome(portable, is_setup_error=self._work is None)


class _ChildProcess:
    """A process with a worker, started again when it dies; `pipe` becomes readable when its task ends."""

    def __init__(self, make: MakeWorker[Any, Any], number: int) -> None:
        self._worker = _Worker(make, number)
        self.task: Any = None
        self._deaths = 0
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._worker), daemon=True)
        self._process.start()
        theirs.close()

    def send(self, task: Any) -> None:
        """Begin a task."""
        self.task, self._deaths = task, 0
        self._send()

    def _send(self) -> None:
        if self.pipe.closed:
            self._start()
        with suppress(BrokenPipeError):  # the process has just died, which `receive` finds
            self.pipe.send(self.task)

    def receive(self) -> _Outcome | None:
        """The outcome of the task; None where the process died and the task was begun again."""
        try:
            outcome: _Outcome = self.pipe.recv()
            return outcome
        except (EOFError, OSError):
            self.stop()
            self._deaths += 1
        if self._deaths > 1:
            return _Outcome(ChildProcessError(f"its process died (exit code {self._process.exitcode})"))
        self._send()
        return None

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self.pipe.close()
        self._process.terminate()
        self._process.join()


def _serve(pipe: connection.Connection, worker: _Worker) -> None:
    """Run tasks in a child process until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends Ctrl-C to all processes: the first one decides
    with suppress(EOFError):
        while True:
            pipe.send(worker.run(pipe.recv()))
