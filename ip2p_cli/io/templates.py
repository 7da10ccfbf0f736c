"""Variables in recipes: the parts of Jinja2 that a line of text needs.

Recipes may come from anyone, so a template can neither reach Python nor loop, calculate, or take long: only the nodes
in `_ALLOWED` are rendered, and not many of them. Variables are texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import jinja2
from jinja2 import meta, nodes
from jinja2.sandbox import SandboxedEnvironment

from ip2p_cli.errors import UsageError
from ip2p_cli.io.names import printable
from ip2p_cli.suggest import did_you_mean

Scalar = str | int | float | bool

_MAX_LENGTH = 4000  # of a template, and of what it becomes
_MAX_NODES = 200
_MAX_DEPTH = 20
_MAX_SHOWN = 200
_FILTERS = ("capitalize", "default", "lower", "title", "trim", "upper")
_ALLOWED = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Concat, nodes.Filter),
    *(nodes.If, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.List, nodes.Tuple),
)


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
    if len(text) > _MAX_LENGTH:
        raise UsageError(f"{where}: longer than {_MAX_LENGTH} characters: shorten it")
    shown = printable(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…")
    environment = SandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters = {name: environment.filters[name] for name in _FILTERS}
    environment.globals.clear()
    try:
        parsed = environment.parse(text)
        for problem in _problems(parsed):
            raise UsageError(f"{where}: {problem}: {shown}")
        for name in sorted(meta.find_undeclared_variables(parsed) - variables.keys()):
            known = f" Known: {', '.join(variables)}." if variables else " The recipe has no `variables`."
            hint = did_you_mean(name, variables) or known
            raise UsageError(f"{where}: there is no variable {name!r} in {shown}.{hint}")
        filled = environment.from_string(text).render({name: str(value) for name, value in variables.items()})
    except (jinja2.TemplateError, TypeError, ValueError, RecursionError) as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"{where}: {printable(cause)}: {shown}") from error
    if len(filled) > _MAX_LENGTH:
        raise UsageError(f"{where}: longer than {_MAX_LENGTH} characters once filled in: {shown}")
    return filled


def _problems(template: nodes.Template) -> Iterator[str]:
    """Describe what is not allowed in a template; nothing is rendered for that."""
    count = 0
    waiting: list[tuple[nodes.Node, int]] = [(template, 0)]
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if count > _MAX_NODES or depth > _MAX_DEPTH:
            yield "a template of too many parts"
        if not isinstance(node, _ALLOWED):
            yield f"{type(node).__name__.lower()} is not supported in a template"
        if isinstance(node, nodes.Const) and not isinstance(node.value, str):
            yield f"{node.value} is not supported in a template: variables are texts, so put it in quotes"
        if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
            yield f"there is no filter {node.name!r}: use {', '.join(_FILTERS)}"
        waiting += [(child, depth + 1) for child in node.iter_child_nodes()]
