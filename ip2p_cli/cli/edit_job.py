"""What `edit`, `variants` and `chain` do alike once it is clear which photos get which edits."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from ip2p_cli.cli.dry_run import print_plan
from ip2p_cli.cli.flags import OutputFlags, RunFlags
from ip2p_cli.cli.input_args import OutputPlace, batch_size_of, part_of
from ip2p_cli.cli.loading import models_for
from ip2p_cli.cli.output import Output
from ip2p_cli.cli.running import AfterEach, outcomes_of, report_outcomes
from ip2p_cli.cli.verdicts import read_verdicts
from ip2p_cli.errors import InterruptionError, Ip2pError, UsageError
from ip2p_cli.io.names import MAX_NAME
from ip2p_cli.types import Unknown

if TYPE_CHECKING:
    from ip2p_cli.editing.overview import Overview, Result
    from ip2p_cli.editing.work import LoadedModels
    from ip2p_cli.jobs.item import Request
    from ip2p_cli.jobs.plan import Plan
    from ip2p_cli.types import MaskSettings


@dataclass(frozen=True, kw_only=True)
class EditJob:
    """A job of edits.

    Attributes:
        requests: Which photo gets which edits.
        place: Where results go.
        noun: What the items are called.
        cache: Where what steps leave is kept; None for nowhere.
        clip: CLIP's folder, to judge edits and to choose among the seeds of a step.
        unknown: What to do with instructions that nano does not know.
    """

    requests: Sequence[Request]
    place: OutputPlace
    output_flags: OutputFlags
    run_flags: RunFlags
    output: Output
    noun: str = "photos"
    cache: Path | None = None
    clip: Path | None = None
    unknown: Unknown = "do"

    def plan(self) -> Plan:
        """Decide names, what is done already, and which items go together."""
        from ip2p_cli.editing.work import files_of, group_by
        from ip2p_cli.jobs.plan import make_plan

        if self.run_flags.redo_verdict is not None and self.place.manifest is None:
            raise UsageError("--redo-verdict is for a folder of results: name it with -o")
        plan = make_plan(
            self._resolved(),
            self.place.folder,
            self.place.manifest,
            files_of=files_of,
            group_of=group_by(batch_size_of(self.run_flags.batch_size)),
            redo=self.run_flags.redo,
            redo_verdicts=read_verdicts(self.run_flags.redo_verdict, "--redo-verdict"),
            overwrite=self.output_flags.overwrite,
        )
        part = part_of(self.run_flags.shard)
        return plan.part(*part) if part else plan

    @cached_property
    def models(self) -> LoadedModels:
        """The job's models, loaded when they are needed."""
        steps = {(step.choice, step.instruction): None for one in self.requests for step in one.task.tree.steps}
        return models_for(steps, self.output)

    def _resolved(self) -> list[Request]:
        """The requests with what the models get for their instructions."""
        from ip2p_cli.editing.unknown import InstructionResolver

        resolver = InstructionResolver(self.models.loaded, self.unknown, self.output.warn)
        requests = []
        for request in self.requests:
            resolved = resolver.resolve(request.task.tree)
            if resolved.tree is not request.task.tree or resolved.refusal is not None:
                task = replace(request.task, tree=resolved.tree, refusal=resolved.refusal)
                request = replace(request, task=task, recipe=task.recipe(fetch=not self.run_flags.dry_run))
            requests.append(request)
        return requests

    def run(
        self,
        plan: Plan,
        models: LoadedModels,
        *,
        after_each: AfterEach | None = None,
        to_stdout: bool = True,
        finish: Callable[[], None] = lambda: None,
    ) -> None:
        """Do what a plan says, or print it with --dry-run.

        Args:
            plan: From `plan`.
            models: The job's models.
            after_each: Called after each outcome.
            to_stdout: Whether results go to stdout as they come.
            finish: Called at the end, unless the user interrupted; also if some items failed.

        Raises:
            Ip2pError: What went wrong.
        """
        from ip2p_cli.editing.step_cache import StepCache
        from ip2p_cli.editing.work import EditWork, MakeWork

        if self.run_flags.dry_run:
            print_plan(plan, self.output)
            return
        work = EditWork(models, plan.folder, cache=StepCache(self.cache), clip=self.clip)
        make = MakeWork(
            folder=plan.folder.absolute(), cache=self.cache.absolute() if self.cache else None, clip=self.clip
        )
        outcomes = outcomes_of(plan, make, self.place.manifest, self.run_flags, self.output, work=work, noun=self.noun)
        failure: Ip2pError | None = None
        try:
            report_outcomes(
                plan,
                outcomes,
                self.output,
                noun=self.noun,
                after_each=after_each,
                to_stdout=to_stdout,
                fail_on=read_verdicts(self.run_flags.fail_on, "--fail-on"),
            )
        except InterruptionError:
            raise
        except Ip2pError as error:  # what was made is shown all the same
            failure = error
        finish()
        if failure is not None:
            raise failure

    def write_overview(self, overview: Overview, results: Sequence[Result], *, sheet: bool, report: bool) -> None:
        """Write what lies beside the results, and say where it is. What cannot be written stops nothing."""
        if not results:
            return
        try:
            written = overview.write(results, sheet=sheet, with_report=report)
        except Ip2pError as error:
            self.output.warn(f"no overview: {error}")
            return
        self.output.say("beside them: " + ", ".join(str(path) for path in written.values()))


def edit_command(result: Result, model: str) -> str:
    """Return the `ip2p edit` that makes a picture again, quoted for a POSIX shell."""
    from ip2p_cli.models.lora import lora_text

    flags: dict[str, object] = {"--model": model}
    flags["--lora"] = list(map(lora_text, result.step.choice.loras))
    flags |= {"--" + name.replace("_", "-"): value for name, value in result.step.settings.facts.items()}
    if result.step.mask is not None:
        flags |= mask_flags(result.step.mask.for_command())
    if result.step.max_tries:
        flags |= {"--auto-tune": True, "--max-tries": result.step.max_tries}
    flags["-o"] = f"{result.picture.stem}-again{result.picture.suffix}"
    return command_line("edit", flags, [str(result.item.source), result.step.instruction])


def mask_flags(mask: MaskSettings) -> dict[str, object]:
    """Return the flags that say what these settings do."""
    return {"--" + name.replace("_", "-"): value for name, value in vars(mask).items()}


def command_line(command: str, flags: Mapping[str, object], words: Sequence[str]) -> str:
    """Return a command quoted for a POSIX shell; flags that are lists are repeated, None and False are left out."""
    parts = ["ip2p", command]
    for flag, value in flags.items():
        for one in value if isinstance(value, Sequence) and not isinstance(value, str) else [value]:
            if one is True:
                parts.append(flag)
            elif one not in (None, False, ""):
                parts += [f"{flag}={one}"] if str(one).startswith("-") else [flag, str(one)]
    return shlex.join([*parts, "--", *words])


def output_name(source: Path, instruction: str, ending: str, folder: PurePath) -> PurePath:
    """Return the name of an edit that the user did not name, after the photo and the instruction."""
    from ip2p_cli.io.names import shortened, slug

    rest = f"-{slug(instruction)}{ending}"
    return PurePath(folder, shortened(source.stem, MAX_NAME - len(rest)) + rest)
