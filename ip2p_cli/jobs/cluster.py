"""A plan on a Ray cluster: one model a worker, one manifest file a worker in the shared folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ip2p_cli.errors import Ip2pError, ModelError
from ip2p_cli.jobs.item import Outcome
from ip2p_cli.jobs.job_work import Work
from ip2p_cli.jobs.manifest import open_manifest
from ip2p_cli.jobs.plan import Plan
from ip2p_cli.jobs.runner import Runner, absolute
from ip2p_cli.jobs.workers import map_on_ray


def run_on_ray(plan: Plan, make_work: Callable[[], Work], workers: int | None = None) -> Iterator[Outcome]:
    """Run a plan's groups on a cluster.

    Args:
        plan: The plan. Every worker must see its folder and its photos.
        make_work: Makes a worker's `Work`, in the worker; is pickled.
        workers: How many; None: one a GPU, else one.

    Yields:
        The outcomes as they become known. The items of a group whose worker died twice fail with that as the reason.

    Raises:
        UsageError: Ray is not installed.
    """
    for group in set(plan.groups) - set(plan.open_groups):
        yield from Runner(plan=replace(plan, groups=(group,)), work=make_work()).run()
    make = _MakeWorker(plan=absolute(plan), make_work=make_work)
    for group, result in map_on_ray(make, list(plan.open_groups), workers):
        if isinstance(result, Exception):
            yield from (Outcome(index=index, state="failed", error=_failure(result)) for index in group)
        else:
            for outcome in result:
                names = [path.relative_to(plan.folder.absolute()) for path in outcome.results]
                yield replace(outcome, results=tuple(plan.folder / name for name in names))


def _failure(problem: Exception) -> Ip2pError:
    if isinstance(problem, Ip2pError):
        return problem
    lines = str(problem).strip().splitlines() or [type(problem).__name__]
    return ModelError(f"a Ray worker failed ({lines[-1]}); run the same command again")


@dataclass(frozen=True, kw_only=True)
class _MakeWorker:
    """Makes a worker, in its own process."""

    plan: Plan
    make_work: Callable[[], Work]

    def __call__(self, number: int) -> Any:
        work = self.make_work()
        manifest = open_manifest(self.plan.folder, f"ray-{number}") if self.plan.has_manifest else None

        def run(group: tuple[int, ...]) -> list[Outcome]:
            return list(Runner(plan=replace(self.plan, groups=(group,)), work=work, manifest=manifest).run())

        return run
