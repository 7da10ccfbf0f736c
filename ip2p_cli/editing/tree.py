"""The edits of a photo, before any model loads: a tree of steps with everything resolved.

A single edit is a tree of one step. A chain has several, one after the other; where a recipe has alternatives the tree
branches, and each path from the first step to a last one ends in a result.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ip2p_cli.editing.model_choice import ModelChoice
from ip2p_cli.editing.step_masks import StepMask
from ip2p_cli.errors import UsageError
from ip2p_cli.io.inputs import InputPhoto
from ip2p_cli.io.instructions import checked_instruction
from ip2p_cli.models.fingerprint import files_fingerprint
from ip2p_cli.models.pipelines import PIPELINES
from ip2p_cli.settings import MAX_SEED
from ip2p_cli.types import Guard, Handoff, ResolvedEditSettings

# Both measure nearly the same with nano (benchmarks/chain_drift.py); this one saves an encoding and a decoding an edit.
DEFAULT_HANDOFF: Handoff = "latent"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One edit of a tree.

    Attributes:
        position: Of the edit on its path, from 0.
        label: The letters of the alternatives taken up to here; "" if there were none.
        name: What the user calls it; its pictures are named after it.
        save: Whether its picture is written; a path's last picture always is.
        where: The recipe's file and line, for messages.
        best_of: How many seeds are tried, from the settings' own on.
        max_tries: How many other scales and seeds are tried where the edit is not ok, see `editing.tuning`.
        winner: Which of them is kept, from 0, if a record says so; otherwise the best is chosen.
        done_as: The instruction that the model gets in place of the one that was asked for, see `editing.unknown`.
        mask: What may change; None for everything.
    """

    position: int
    label: str
    name: str
    instruction: str
    settings: ResolvedEditSettings
    choice: ModelChoice
    save: bool = True
    where: str = ""
    best_of: int = 1
    max_tries: int = 0
    winner: int | None = None
    done_as: str | None = None
    mask: StepMask | None = None

    def __post_init__(self) -> None:
        """Refuse an instruction that no model can take, wherever it is from."""
        checked_instruction(self.instruction)
        if self.done_as is not None:
            checked_instruction(self.done_as)
        if self.mask is not None and self.mask.is_auto and self.choice.spec.pipeline is not None:
            raise UsageError(f"--auto-mask: {self.choice.spec.name} has none: give --region, --mask or --box")
        if self.settings.feature_reuse > 1 and self.choice.backend_name == "openvino":
            raise UsageError(f"--feature-reuse {self.settings.feature_reuse} needs --backend torch")
        if self.mask is not None and self.mask.mask_steps == "last" and self.choice.spec.pipeline is not None:
            raise UsageError(f"--mask-steps last: {self.choice.spec.name} cannot do that: leave it out")

    @property
    def words(self) -> str:
        """What the model gets."""
        return self.instruction if self.done_as is None else self.done_as

    @property
    def instructions(self) -> dict[str, str]:
        """What was asked for and, if it differs, what is done instead, by the names of the record."""
        return {"instruction": self.instruction} | ({} if self.done_as is None else {"done_as": self.done_as})

    @property
    def inpainted_by(self) -> dict[str, str]:
        """The pipeline that keeps to the mask, by its name in records; {} where ip2p does."""
        pipeline = PIPELINES.get(self.choice.spec.pipeline or "")
        return {"inpainted_by": pipeline.inpainting} if pipeline is not None and pipeline.inpainting else {}

    @property
    def latent_space(self) -> str:
        """Whose latents it leaves: steps with the same weights can hand them over."""
        return f"{self.choice.spec.name} {self.choice.weights}"

    @property
    def place(self) -> tuple[str, int]:
        """What tells it apart from the tree's other steps."""
        return self.label, self.position

    @property
    def number(self) -> str:
        """Its place as users see it, e.g. "2b"."""
        return f"{self.position + 1}{self.label}"

    @property
    def seeds(self) -> list[int]:
        """The seeds that are tried."""
        return [(self.settings.seed + number) % (MAX_SEED + 1) for number in range(self.best_of)]


StepPath = tuple[Step, ...]


@dataclass(frozen=True, kw_only=True)
class EditTree:
    """All paths through the edits of a photo; each path's last step is a result.

    Attributes:
        name: The recipe's name; None for a single edit.
        handoff: How a step gets what the one before made.
        guard: What is removed from what a step changes although nobody asked for it.
        first: Where `--from` begins, from 0. The steps before it are taken from the cache.
        clip: The folder of the CLIP model that chooses among several seeds.
    """

    paths: tuple[StepPath, ...]
    name: str | None = None
    handoff: Handoff = DEFAULT_HANDOFF
    guard: Guard = "none"
    first: int = 0
    clip: Path | None = None

    @property
    def steps(self) -> list[Step]:
        """Each step once, in the order of the paths."""
        return list({step.place: step for path in self.paths for step in path}.values())

    @property
    def is_single(self) -> bool:
        """Whether it is one edit with one seed, which may share a batch with those of other photos."""
        step = self.steps[0]
        is_plain = step.best_of == 1 and step.max_tries == 0 and not (step.mask is not None and step.mask.is_auto)
        # When predictions agree depends on last bits, and those on the batch's shape.
        is_plain = is_plain and not step.settings.adaptive_guidance
        return len(self.paths) == 1 and len(self.paths[0]) == 1 and self.guard == "none" and is_plain

    @property
    def choices(self) -> list[ModelChoice]:
        """The models that it needs, each once."""
        return list(dict.fromkeys(step.choice for step in self.steps))

    def for_photo(self, photo: InputPhoto) -> EditTree:
        """Return the tree with the masks of this photo."""
        if all(step.mask is None for step in self.steps):
            return self
        steps = {
            step.place: replace(step, mask=step.mask.for_photo(photo)) if step.mask is not None else step
            for step in self.steps
        }
        return replace(self, paths=tuple(tuple(steps[step.place] for step in path) for path in self.paths))

    def recipe(self, *, fetch: bool = True) -> dict[str, Any]:
        """Return everything that decides the pictures of any photo, as plain JSON values.

        Args:
            fetch: Whether a model that is not on this machine is fetched now; otherwise its hash is None.
        """
        edits = {step.number: _facts(step, self, fetch) for step in self.steps if step.position >= self.first}
        of_chain = {"handoff": self.handoff, "guard": self.guard} if self.name is not None else {}
        return {"edits": edits, **of_chain}


def key_of(before: str, step: Step, tree: EditTree) -> str:
    """Return a hash of everything that decides the result of a step.

    Args:
        before: The key of the step before, or the photo's digest.
        step: The step.
        tree: The tree that it is part of.
    """
    facts = _facts(step, tree, fetch=True)
    del facts["output_size"], facts["save"]  # they decide which picture is made of the result
    facts |= {"before": before, "position": step.position, "device": step.choice.device_name}
    facts |= {"handoff": tree.handoff if step.position else None, "guard": tree.guard}
    return hashed(facts)


def hashed(facts: Any) -> str:
    """Return a hash of plain JSON values."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _facts(step: Step, tree: EditTree, fetch: bool) -> dict[str, Any]:
    facts = {**step.instructions, **step.choice.identity(fetch=fetch), **step.settings.facts}
    if step.best_of > 1 or step.max_tries:
        clip = files_fingerprint([tree.clip / "model.safetensors"]) if tree.clip else None
        tries = {"best_of": step.best_of} if step.best_of > 1 else {"max_tries": step.max_tries}
        facts |= {**tries, "clip": clip}
    if step.mask is not None:
        facts["mask"] = step.mask.facts | step.inpainted_by
    return facts | {"save": step.save}
