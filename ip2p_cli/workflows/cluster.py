"""A plan's batches, or many photos' chains, on a Ray cluster: one model a worker, one manifest in the folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ip2p_cli.errors import ModelError
from ip2p_cli.io.manifest import open_manifest
from ip2p_cli.jobs.workers import map_on_ray
from ip2p_cli.models.adapters import Adapter
from ip2p_cli.models.loader import Editor
from ip2p_cli.types import OutputOptions
from ip2p_cli.workflows.batch import Outcome, run_batches
from ip2p_cli.workflows.best_of import Judge
from ip2p_cli.workflows.chain_batch import ChainBatch, ChainOutcome, run_chains
from ip2p_cli.workflows.loading import ModelChoice
from ip2p_cli.workflows.plan import Plan


def run_on_ray(
    choice: ModelChoice,
    plan: Plan,
    batches: Sequence[tuple[int, ...]],
    saving: OutputOptions,
    workers: int | None = None,
) -> Iterator[Outcome]:
    """Do what is left of `batches`; outcomes come as they are known. The folder must be seen by every worker.

    A batch whose worker died twice fails with that as the reason. Raises UsageError where Ray is not installed.
    """
    if not batches:
        return
    make = _Make(choice=choice, plan=_absolute(plan), saving=saving)
    for batch, result in map_on_ray(make, list(batches), workers):
        if isinstance(result, Exception):
            yield from (Outcome(index=index, state="failed", error=_failure(result)) for index in batch)
        else:
            yield from result


def run_chains_on_ray(batch: ChainBatch, indices: Sequence[int], workers: int | None = None) -> Iterator[ChainOutcome]:
    """Do what is left of the items `indices` of a chain's batch, as `run_on_ray` does batches."""
    if not indices:
        return
    items = [replace(i, source=i.source.absolute(), target=i.target.absolute()) for i in batch.items]
    plan = replace(batch.plan, clip=batch.plan.clip.absolute() if batch.plan.clip else None)
    whole = replace(batch, folder=batch.folder.absolute(), items=tuple(items), plan=plan)
    for index, result in map_on_ray(_MakeChains(batch=whole), list(indices), workers):
        if isinstance(result, Exception):
            yield ChainOutcome(index=index, state="failed", error=_failure(result))
        else:
            yield replace(result, results=tuple(batch.items[index].target / path.name for path in result.results))


def _failure(problem: Exception) -> ModelError:
    lines = str(problem).strip().splitlines() or [type(problem).__name__]
    return ModelError(f"a Ray worker failed ({lines[-1]}); run the same command again")


def _absolute(plan: Plan) -> Plan:
    """Workers may have another current folder."""
    items = [replace(i, source=i.source.absolute(), target=i.target.absolute()) for i in plan.items]
    return replace(plan, folder=plan.folder.absolute(), items=tuple(items))


@dataclass(frozen=True, kw_only=True)
class _Make:
    """Makes a worker, in its own process."""

    choice: ModelChoice
    plan: Plan
    saving: OutputOptions

    def __call__(self, number: int) -> Any:
        editor = self.choice.load()
        manifest = open_manifest(self.plan.folder, f"ray-{number}") if self.plan.noted else None

        def work(batch: tuple[int, ...]) -> list[Outcome]:
            return list(run_batches(editor, self.plan, [batch], manifest=manifest, saving=self.saving))

        return work


@dataclass(frozen=True, kw_only=True)
class _MakeChains:
    """Makes a worker for chains, in its own process; each model is loaded when it is first needed."""

    batch: ChainBatch

    def __call__(self, number: int) -> Any:
        manifest = open_manifest(self.batch.folder, f"ray-{number}")
        models: dict[ModelChoice, Editor | Adapter] = {}
        judge = Judge(self.batch.plan.clip)

        def editor_of(choice: ModelChoice) -> Editor | Adapter:
            if choice not in models:
                models[choice] = choice.load()
            return models[choice]

        def work(index: int) -> ChainOutcome:
            return next(run_chains(self.batch, [index], editor_of, manifest, judge=judge))

        return work
