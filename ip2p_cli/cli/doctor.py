"""`ip2p doctor`: a check of this machine and installation."""

from __future__ import annotations

from dataclasses import asdict

import typer

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.output import Output


def doctor(json: opt.Json = False, quiet: opt.Quiet = False, debug: opt.Debug = False) -> None:
    """Check this installation: versions, device, memory, caches, configuration, and one real edit, timed.

    The exit code is 0 if the edit works.
    """
    from ip2p_cli.doctor import examine

    output = Output(json=json, quiet=quiet)
    works = False
    for check in examine():
        works = check.name == "edit" and check.state != "fail"
        if json or check.state != "ok" or not quiet:
            fix = f" -> {check.fix}" if check.fix else ""
            output.data(f"{check.state:4}  {check.name:11}  {check.text}{fix}", asdict(check))
    if not works:
        raise typer.Exit(1)
