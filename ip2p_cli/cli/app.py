"""The `ip2p` command: registers the commands, and turns exceptions into one line and an exit code."""

from __future__ import annotations

import atexit
import errno
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ip2p_cli import __version__
from ip2p_cli.cli import chain, doctor, edit, mask, models, recipes, replay, show, train, variants
from ip2p_cli.cli.gen_data.app import app as gen_data
from ip2p_cli.cli.hints import check_arguments
from ip2p_cli.cli.output import BROKEN_PIPE, Output
from ip2p_cli.cli.stopping import ending_at_second_interrupt
from ip2p_cli.errors import Ip2pError, UsageError
from ip2p_cli.io.names import printable, reason

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
app.command("mask")(mask.mask)
app.command("recipes")(recipes.recipes)
app.command("replay")(replay.replay)
app.command("show")(show.show)
app.command("train")(train.train)
app.add_typer(models.app, name="models")
app.add_typer(gen_data, name="gen-data")
app.command("doctor")(doctor.doctor)


def _print_version(is_given: bool) -> None:
    if is_given:
        Output().text(f"ip2p {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line.

    Exit codes: 0 done, 1 unexpected, 2 usage, 3 to 8: see `errors`, 130 interrupted, 141 the reader of stdout gone.
    """
    atexit.register(_silence_destructors)
    before = _silence_destructors()
    try:
        with ending_at_second_interrupt():
            _run(Output())
    finally:
        sys.unraisablehook = before


def _silence_destructors() -> Callable[[Any], object]:
    """Keep Python from printing what destructors raise: on a full disk those of open files do, after the error."""
    before = sys.unraisablehook
    if "--debug" not in sys.argv:
        sys.unraisablehook = _ignore
    return before


def _ignore(_: object) -> None:
    pass


def _run(output: Output) -> None:
    try:
        check_arguments(sys.argv[1:], _command_names())
        app(standalone_mode=True)
    except SystemExit as end:
        if _comes_from(end, BrokenPipeError):  # rich and click end with 1
            sys.exit(BROKEN_PIPE)
        if _comes_from(end, KeyboardInterrupt):
            output.error("interrupted.")
        raise
    except KeyboardInterrupt:
        output.error("interrupted.")
        sys.exit(130)
    except Exception as error:
        if "--debug" in sys.argv:
            output.trace(traceback.format_exc())
        output.error(_message(error))
        sys.exit(_exit_code(error))


def _command_names() -> list[str]:
    names = [command.name for command in getattr(app, "registered_commands", [])]
    names += [group.name for group in getattr(app, "registered_groups", []) if isinstance(group.name, str)]
    return [name for name in names if name]


def _exit_code(error: Exception) -> int:
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return UsageError.exit_code
    return error.exit_code if isinstance(error, Ip2pError) else 1


def _comes_from(error: BaseException | None, cause: type[BaseException]) -> bool:
    while error is not None and not isinstance(error, cause):
        error = error.__context__
    return error is not None


def _message(error: Exception) -> str:
    """Describe an error in one line."""
    if isinstance(error, Ip2pError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory: close other programs, or use smaller photos or a lower --resolution"
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        name = printable(error.filename or "a name")
        return f"{name[:40]}…: too long for the name of a file: use a shorter one"
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{reason(error)}: check the path, its permissions and the free space"
    lines = str(error).strip().splitlines()
    return f"unexpected: {type(error).__name__}: {lines[0] if lines else ''} (--debug shows where)"
