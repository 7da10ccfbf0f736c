"""Loading by diffusers and transformers: one model at a time, without their progress bars and warnings."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from ip2p_cli.errors import ModelError
from ip2p_cli.models.hub import reason

# While a model is loaded the libraries replace methods of torch.nn.Module for all threads: a module that another thread
# makes meanwhile has no weights.
making_modules = threading.RLock()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence diffusers and transformers; the loaders check for themselves what their warnings are about."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries = (diffusers_logging, transformers_logging)
    before = [(library.get_verbosity(), library.is_progress_bar_enabled()) for library in libraries]
    for library in libraries:
        library.set_verbosity(library.CRITICAL)
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library, (verbosity, bars) in zip(libraries, before, strict=True):
            library.set_verbosity(verbosity)
            if bars:
                library.enable_progress_bar()


@contextlib.contextmanager
def loading(what: str, fix: str) -> Iterator[None]:
    """Silence the libraries while `what` is loaded, and raise whatever they raise as ModelError with the `fix`.

    Other threads wait with what they load.
    """
    try:
        with making_modules, quiet():
            yield
    except Exception as error:
        # Missing parts, truncated files, wrong shapes or configs: the libraries raise anything.
        raise ModelError(f"{what} ({reason(error)}); {fix}") from error
