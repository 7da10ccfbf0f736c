"""Work spread over processes or a Ray cluster: tasks in, (task, result or error) out, in whichever order they end."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from typing import Any, TypeVar

from ip2p_cli.errors import Ip2pError, UsageError
from ip2p_cli.types import EngineName

Task = TypeVar("Task")
Result = TypeVar("Result")


def map_tasks(
    make: Callable[[int], Callable[[Task], Result]], tasks: Sequence[Task], *, workers: int | None, engine: EngineName
) -> Iterator[tuple[Task, Result | Exception]]:
    """`tasks` by the engine that is asked for: in this process, in `workers` processes of this machine, or on Ray."""
    if not tasks:
        return
    if engine == "ray":
        yield from map_on_ray(make, tasks, workers)
    elif workers is not None and workers > 1:
        yield from map_on_processes(make, tasks, workers)
    else:
        yield from map_here(make, tasks)


def map_here(
    make: Callable[[int], Callable[[Task], Result]], tasks: Sequence[Task]
) -> Iterator[tuple[Task, Result | Exception]]:
    """One after the other in this process; a task's Ip2pError is its result, others are raised."""
    work = make(1)
    for task in tasks:
        try:
            yield task, work(task)
        except Ip2pError as error:
            yield task, error


def map_on_processes(
    make: Callable[[int], Callable[[Task], Result]], tasks: Sequence[Task], workers: int
) -> Iterator[tuple[Task, Result | Exception]]:
    """Give `tasks` to `workers` new processes of this machine, each as one becomes free.

    make: makes a worker of its number, from 1; it and what a worker takes and gives are pickled. A process that dies is
    started again and its task repeated once, so tasks must bear being repeated. Processes end with the caller's loop.
    """
    context = multiprocessing.get_context("spawn")
    left = deque((task, True) for task in tasks)
    busy: dict[connection.Connection, tuple[Any, int, Task, bool]] = {}

    def start(number: int) -> None:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, make, number), daemon=True)
        process.start()
        theirs.close()
        hand(ours, process, number)

    def hand(pipe: connection.Connection, process: Any, number: int) -> None:
        if left:
            task, again = left.popleft()
            busy[pipe] = (process, number, task, again)
            pipe.send(task)
        else:
            pipe.close()  # the process ends by itself

    try:
        for number in range(1, min(workers, len(tasks)) + 1):
            start(number)
        while busy:
            for pipe in connection.wait(list(busy)):
                assert isinstance(pipe, connection.Connection)
                process, number, task, again = busy.pop(pipe)
                try:
                    result = pipe.recv()
                except (EOFError, OSError):
                    pipe.close()
                    process.join()
                    if again:
                        left.appendleft((task, False))
                    else:
                        yield task, ChildProcessError(f"its process died (exit code {process.exitcode})")
                    if left:
                        start(number)
                else:
                    hand(pipe, process, number)
                    yield task, result
    finally:
        for pipe, (process, *_) in busy.items():
            process.terminate()
            process.join()
            pipe.close()


def _serve(pipe: connection.Connection, make: Callable[[int], Callable[[Any], Any]], number: int) -> None:
    """What a process of `map_on_processes` does until its pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all: the first process decides
    work: Callable[[Any], Any] | None = None
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        try:
            if work is None:
                work = make(number)
            result = work(task)
        except Ip2pError as error:
            result = error
        except Exception as error:
            result = RuntimeError(f"{type(error).__name__}: {error}")  # the error itself may not bear pickling
        pipe.send(result)


def map_on_ray(
    make: Callable[[int], Callable[[Task], Result]], tasks: Sequence[Task], workers: int | None = None
) -> Iterator[tuple[Task, Result | Exception]]:
    """Give `tasks` to `workers` processes (None: one a GPU of the cluster, else one), each as one becomes free.

    make: makes a worker of its number; it and what the worker takes and gives are pickled. A worker that dies is
    started again and its task repeated once, so tasks must bear being repeated. RAY_ADDRESS names a running cluster;
    without it one is started here, for the length of this call. Raises UsageError where Ray is not installed.
    """
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError:
        raise UsageError("--engine ray needs Ray, which is not installed: pip install 'ip2p[ray]'") from None
    started = not ray.is_initialized()
    if started:
        _start(ray, workers)
    try:
        gpus = int(ray.cluster_resources().get("GPU", 0))
        count = max(1, min(workers or gpus or 1, len(tasks)))
        share = min(1.0, gpus / count) if gpus else 0
        actor = ray.remote(num_cpus=1, num_gpus=share, max_restarts=1, max_task_retries=1)(_Worker)
        yield from _hand_out(ray, [actor.remote(make, number) for number in range(1, count + 1)], tasks)
    finally:
        if started:
            ray.shutdown()


class _Worker:
    """Lives in a process of its own, and makes what it works with once."""

    def __init__(self, make: Callable[[int], Callable[[Any], Any]], number: int) -> None:
        self._work = make(number)

    def work(self, task: Any) -> Any:
        """The result for a task."""
        return self._work(task)


def _start(ray: Any, workers: int | None) -> None:
    address = os.environ.get("RAY_ADDRESS")
    local = {} if address else {"num_cpus": max(workers or 1, os.cpu_count() or 1), "include_dashboard": False}
    ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **local)


def _hand_out(ray: Any, actors: list[Any], tasks: Sequence[Task]) -> Iterator[tuple[Task, Any]]:
    left = iter(tasks)
    running: dict[Any, tuple[Any, Task]] = {}
    for actor, task in zip(actors, left, strict=False):
        running[actor.work.remote(task)] = (actor, task)
    while running:
        (ready, *_), _ = ray.wait(list(running))
        actor, task = running.pop(ready)
        try:
            yield task, ray.get(ready)
        except ray.exceptions.RayError as error:
            yield task, error
        for another in left:
            running[actor.work.remote(another)] = (actor, another)
            break
