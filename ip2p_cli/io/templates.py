"""Variables in recipes: Jinja2's sandbox, reduced to what a line of text needs.

Recipes may come from anyone, so a template cannot reach Python, loop, or make a text of any length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import SandboxedEnvironment

from ip2p_cli.errors import UsageError
from ip2p_cli.io.names import printable
from ip2p_cli.suggest import did_you_mean

Scalar = str | int | float | bool

_MAX_LENGTH = 4000
_FILTERS = ("abs", "capitalize", "default", "float", "int", "lower", "round", "title", "trim", "upper")
_BLOCKS = (nodes.For, nodes.Macro, nodes.CallBlock, nodes.Block, nodes.Assign, nodes.AssignBlock, nodes.With)
_REFUSED = (*_BLOCKS, nodes.Call, nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)


class _Sandbox(SandboxedEnvironment):
    intercepted_binops = frozenset(["*", "**", "%"])

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Multiply numbers but not texts; refuse powers."""
        if operator == "**" or isinstance(left, str) or isinstance(right, str):
            raise SecurityError(f"{operator} is for numbers only" if operator != "**" else "** is not supported")
        return super().call_binop(context, operator, left, right)


def has_template(text: str) -> bool:
    """Whether a text has anything to fill in."""
    return "{{" in text or "{%" in text or "{#" in text


def fill_in(text: str, variables: Mapping[str, Scalar], where: str) -> str:
    """Replace `{{ name }}` in a text by the values of variables.

    Raises:
        UsageError: The template is not valid, or not allowed; the message begins with `where`.
    """
    if not has_template(text):
        return text
    sandbox = _Sandbox(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    sandbox.filters = {name: sandbox.filters[name] for name in _FILTERS}
    sandbox.globals.clear()
    shown = printable(text)
    try:
        parsed = sandbox.parse(text)
        for node in parsed.find_all(_REFUSED):
            raise UsageError(f"{where}: {type(node).__name__.lower()} is not supported in a template: {shown}")
        for name in sorted(meta.find_undeclared_variables(parsed) - variables.keys()):
            known = f" Known: {', '.join(variables)}." if variables else " The recipe has no `variables`."
            hint = did_you_mean(name, variables) or known
            raise UsageError(f"{where}: there is no variable {name!r} in {shown}.{hint}")
        filled = sandbox.from_string(text).render(variables)
    except (jinja2.TemplateError, ArithmeticError, TypeError, ValueError, RecursionError, MemoryError) as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"{where}: {printable(cause)}: {shown}") from error
    if len(filled) > _MAX_LENGTH:
        raise UsageError(f"{where}: longer than {_MAX_LENGTH} characters once filled in: {shown}")
    return filled
