"""Exceptions whose text is for the user: one line that names the file or value, and what to do.

`cli.app.main` prints the text and exits with `exit_code`; `--debug` shows the traceback too.
"""


class Ip2pError(Exception):
    """The base of all errors for the user. Raise a subclass.

    Args:
        message: It becomes one line: names and values in it may hold line breaks and control characters.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


def one_line(text: str) -> str:
    """Escape what does not belong into one line, such as line breaks, control characters and lone surrogates."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class UsageError(Ip2pError):
    """A value on the command line, in a recipe or in a config file is not possible."""

    exit_code = 2


class InputError(Ip2pError):
    """An input file is missing, cannot be read, or is not what its name says."""

    exit_code = 3


class UnknownInstructionError(InputError):
    """The model does not know what an instruction asks for, and the user said not to do it then."""


class LeftOutError(UnknownInstructionError):
    """As its base; the user said to leave such items out, so that it ends no job."""


class OutputError(Ip2pError):
    """An output cannot be written, or exists already."""

    exit_code = 4


class ModelError(Ip2pError):
    """A model is unknown, incomplete, or cannot be fetched."""

    exit_code = 5


class DeviceError(Ip2pError):
    """The device or number format that was asked for is missing."""

    exit_code = 6


class TrainingError(Ip2pError):
    """A training run cannot start or go on."""

    exit_code = 7


class VerdictError(Ip2pError):
    """Results got a verdict that the user named with --fail-on. Their files are written."""

    exit_code = 8


class InterruptionError(Ip2pError):
    """The user pressed Ctrl-C, or SIGTERM came; the message says how much is done."""

    exit_code = 130

    def __init__(self, message: str, *, exit_code: int = 130) -> None:
        """Make the error; `exit_code` is 128 and the signal's number."""
        super().__init__(message)
        self.exit_code = exit_code
