"""A plan's batches on a Ray cluster: one model a worker, one manifest in the folder for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import ModelError
from ..io.manifest import open_manifest
from ..models.adapters import load_model
from ..models.device import pick_device, pick_dtype
from ..runners import map_on_ray
from ..types import DeviceName, DtypeName, ModelSpec, OffloadName, Saving
from .batch import Outcome, run_batches
from .plan import Plan


def run_on_ray(
    plan: Plan,
    batches: Sequence[tuple[int, ...]],
    spec: ModelSpec,
    device: DeviceName,
    dtype: DtypeName,
    saving: Saving,
    workers: int | None,
    offload: OffloadName = "none",
) -> Iterator[Outcome]:
    """Do what is left of `batches`; outcomes come as they are known. The folder must be seen by every worker.

    A batch whose worker died twice fails with that as the reason. Raises UsageError where Ray is not installed.
    """
    if not batches:
        return
    make = _Make(plan=_absolute(plan), spec=spec, device=device, dtype=dtype, saving=saving, offload=offload)
    for batch, result in map_on_ray(make, list(batches), workers):
        if isinstance(result, Exception):
            lines = str(result).strip().splitlines() or [type(result).__name__]
            error = ModelError(f"a Ray worker failed ({lines[-1]}); run the same command again")
            yield from (Outcome(index=index, state="failed", error=error) for index in batch)
        else:
            yield from result


def _absolute(plan: Plan) -> Plan:
    """Workers may have another current folder."""
    items = [replace(i, source=i.source.absolute(), target=i.target.absolute()) for i in plan.items]
    return replace(plan, folder=plan.folder.absolute(), items=tuple(items))


@dataclass(frozen=True, kw_only=True)
class _Make:
    """Makes a worker, in its own process."""

    plan: Plan
    spec: ModelSpec
    device: DeviceName
    dtype: DtypeName
    saving: Saving
    offload: OffloadName

    def __call__(self, number: int) -> Any:
        place = pick_device(self.device).name
        dtype = pick_dtype(self.dtype, place, self.spec).name
        editor = load_model(self.spec, device=place, dtype=dtype, offload=self.offload)
        manifest = open_manifest(self.plan.folder, f"ray-{number}") if self.plan.noted else None

        def work(batch: tuple[int, ...]) -> list[Outcome]:
            return list(run_batches(editor, self.plan, [batch], manifest=manifest, saving=self.saving))

        return work
