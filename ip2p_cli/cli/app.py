"""The `ip2p` command: registers the commands, and turns exceptions into one line and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from ip2p_cli import __version__
from ip2p_cli.cli import chain, doctor, edit, models, recipes, replay, show, train, variants
from ip2p_cli.cli.gen_data.app import app as gen_data
from ip2p_cli.cli.output import Output
from ip2p_cli.errors import Ip2pError

app = typer.Typer(
    name="ip2p",
    help="Edit photos from written instructions.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("edit")(edit.edit)
app.command("variants")(variants.variants)
app.command("chain")(chain.chain)
app.command("recipes")(recipes.recipes)
app.command("replay")(replay.replay)
app.command("show")(show.show)
app.command("train")(train.train)
app.add_typer(models.app, name="models")
app.add_typer(gen_data, name="gen-data")
app.command("doctor")(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"ip2p {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 unexpected, 2 usage, 3.. see `errors`, 130 interrupted."""
    output = Output()
    debug = "--debug" in sys.argv
    try:
        app(standalone_mode=True)
    except Ip2pError as error:
        if debug:
            traceback.print_exc()
        output.error(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        output.error("interrupted.")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of stdout has gone: nothing to say to it, and nothing may be flushed into it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        if debug:
            traceback.print_exc()
        lines = str(error).strip().splitlines()
        output.error(f"unexpected: {type(error).__name__}: {lines[0] if lines else ''} (--debug shows where)")
        sys.exit(1)
