"""`ip2p chain --report`: a report for each photo, and one for all where there are several."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ip2p_cli.cli.output import Output
from ip2p_cli.errors import Ip2pError

if TYPE_CHECKING:
    from ip2p_cli.workflows.chain_plan import ChainPlan
    from ip2p_cli.workflows.chain_report import Chained


@dataclass(frozen=True, kw_only=True)
class Reports:
    """Writes reports as chains are done. folder: of all. recipe: its word, or "". flags: as they were given."""

    folder: Path
    recipe: str
    flags: Mapping[str, object]
    output: Output
    _done: list[Chained] = field(default_factory=list)

    def add(self, photo: Path, folder: Path, plan: ChainPlan) -> None:
        """Write the report of a photo whose chain lies in `folder`."""
        from ip2p_cli.workflows.chain_report import Chained

        seeds = {step.settings.seed for step in plan.steps}
        # One that was drawn is said; seeds that a recipe gives its edits come out of it again.
        flags = {**self.flags, **({"--seed": seeds.pop()} if len(seeds) == 1 else {})}
        again = str(Path(f"{self.folder}-again"))
        one = Chained(photo=photo, folder=folder, command=command_of(str(photo), self.recipe, {**flags, "-o": again}))
        self._done.append(one)
        self._write([one], folder)

    def finish(self) -> None:
        """Write the report of all the photos, where there are several."""
        if len(self._done) > 1:
            self._write(self._done, self.folder)

    def _write(self, chains: Sequence[Chained], folder: Path) -> None:
        """A report that cannot be written stops nothing."""
        from ip2p_cli.workflows.chain_report import write_chain_report

        try:
            path = write_chain_report(chains, folder)
        except Ip2pError as error:
            self.output.warn(f"no report: {error}")
            return
        if path is not None:
            self.output.say(f"report: {path}")


def command_of(photo: str, recipe: str, flags: Mapping[str, object]) -> str:
    """The `ip2p chain` that makes a chain again, quoted for a POSIX shell. Lists are repeated; None is not said."""
    words = ["ip2p", "chain"]
    for flag, value in flags.items():
        for one in value if isinstance(value, Sequence) and not isinstance(value, str) else [value]:
            if one is True:
                words.append(flag)
                continue
            words += [f"{flag}={one}"] if str(one).startswith("-") else [flag, str(one)] if one is not None else []
    return shlex.join([*words, "--", photo, *filter(None, [recipe])])
