"""What nano does with an instruction that it does not know. Other models get every instruction as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ip2p_cli.editing.model_choice import ModelChoice
from ip2p_cli.editing.step_masks import in_region
from ip2p_cli.editing.tree import EditTree, Step
from ip2p_cli.errors import LeftOutError, UnknownInstructionError
from ip2p_cli.looks.regions import REGIONS
from ip2p_cli.models.adapters import Adapter
from ip2p_cli.models.editor import Editor
from ip2p_cli.models.nano.look_matcher import closest, is_wording
from ip2p_cli.types import Unknown

_ANY = "For any instruction: --model instruct-pix2pix (4 GB, downloaded once)."


@dataclass(frozen=True, kw_only=True)
class Understood:
    """What nano understands by an instruction.

    Attributes:
        done_as: The instruction, a wording that nano was trained with, that it gets in place of the one that was asked
            for; None for that one.
        region: Words for the region that the edit is masked to, as the weights do not keep to it by themselves.
        problem: What nano does not know of the instruction; None if it knows all of it.
        instead: What nano does all the same.
        closest: What it can do that is near.
        note: How it takes words that it knows the look of, but that are not nearly those it was trained with; or "".
    """

    done_as: str | None = None
    region: str | None = None
    problem: str | None = None
    instead: str = ""
    closest: str = ""
    note: str = ""

    @property
    def line(self) -> str:
        """What is not known and what is done all the same."""
        return f"{self.problem}: {self.instead}. {self.closest}"


def understand(editor: Editor, instruction: str) -> Understood:
    """Return what nano understands by an instruction."""
    near = closest(editor, instruction)
    region = f"does not know the region “{near.unknown_region}”" if near.unknown_region is not None else ""
    examples = f"The closest that it can do: {near.examples}. {_ANY}"
    masked = REGIONS[near.masked_region].nouns[0] if near.masked_region is not None else None
    where = f", in {masked}" if masked is not None else ""
    if near.known:
        # A wording that it was trained with is followed more surely than other words for it.
        done_as = near.nearest if near.region is None and near.nearest != instruction else None
        problem = f"nano {region} in “{instruction}”" if region else None
        whole = "the whole photo may change"
        note = "" if done_as is None or near.same else f"nano takes “{instruction}” as “{done_as}”{where}"
        return Understood(done_as=done_as, region=masked, problem=problem, instead=whole, closest=examples, note=note)
    problem = f"nano was not trained for “{instruction}”" + (f" and {region}" if region else "")
    if not near.near:
        return Understood(problem=problem, instead="the photo would hardly change", closest=examples)
    instead = f"it does “{near.plainest}” instead{where}"
    return Understood(done_as=near.plainest, region=masked, problem=problem, instead=instead, closest=examples)


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """Edits whose steps say what the models get.

    Attributes:
        tree: The edits.
        refusal: Why they are not to be made, if `unknown` says so; a LeftOutError if they are left out.
        problems: What nano does not know and what it does all the same, for the steps that it does not know.
    """

    tree: EditTree
    refusal: UnknownInstructionError | None = None
    problems: Mapping[tuple[str, int], str] = field(default_factory=dict)

    def facts(self, step: Step) -> dict[str, str]:
        """Return what a step does instead of its instruction, and why, for a result's `extra`."""
        done_as = {} if step.done_as is None else {"done_as": step.done_as}
        return done_as | ({"unknown": self.problems[step.place]} if step.place in self.problems else {})


class InstructionResolver:
    """Decides what models get for the instructions of edits, before any photo is edited.

    Args:
        models: Gives a loaded model.
        unknown: What to do with instructions that nano does not know.
        tell: Called once with each line for the user.
    """

    def __init__(
        self,
        models: Callable[[ModelChoice], Editor | Adapter],
        unknown: Unknown = "do",
        tell: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._models, self._unknown, self._tell = models, unknown, tell
        self._known: dict[tuple[ModelChoice, str], Understood] = {}

    def resolve(self, tree: EditTree) -> Resolved:
        """Return the edits with what the models get."""
        steps = [step for step in tree.steps if step.position >= tree.first and _is_open(step)]
        understood = {step.place: self._understood(step) for step in steps}
        done = {step.place: _done(step, understood[step.place]) for step in steps}
        problems = {place: one for place, one in understood.items() if one.problem is not None}
        refusal = None
        if problems and self._unknown != "do":
            is_left_out = self._unknown == "skip"
            first = next(iter(problems.values()))
            message = f"{first.problem}: {'left out' if is_left_out else 'not done'}. {first.closest}"
            refusal = (LeftOutError if is_left_out else UnknownInstructionError)(message)
        if any(step.done_as is not None for step in done.values()):
            tree = replace(tree, paths=tuple(tuple(done.get(one.place, one) for one in path) for path in tree.paths))
        return Resolved(tree=tree, refusal=refusal, problems={place: one.line for place, one in problems.items()})

    def _understood(self, step: Step) -> Understood:
        key = step.choice, step.instruction
        if key not in self._known:
            found, source = Understood(), Path(step.choice.spec.source)
            if not is_wording(source, step.instruction):
                found = self._ask(step)
            self._known[key] = found
            if found.problem is not None and self._unknown == "do":
                self._tell(found.line)
            elif found.note:
                self._tell(found.note)
        return self._known[key]

    def _ask(self, step: Step) -> Understood:
        editor = self._models(step.choice)
        return understand(editor, step.instruction) if isinstance(editor, Editor) else Understood()


def _done(step: Step, understood: Understood) -> Step:
    """Return a step with what nano gets, and with the mask of a region that nano does not keep to by itself."""
    region = understood.region
    mask = step.mask if region is None else in_region(step.mask, region)
    return replace(step, done_as=understood.done_as, mask=mask)


def _is_open(step: Step) -> bool:
    return step.choice.spec.name == "nano" and step.done_as is None
