"""Work spread over a Ray cluster: tasks in, (task, result or error) out, in whichever order they end."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from .errors import UsageError

Task = TypeVar("Task")
Result = TypeVar("Result")


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
