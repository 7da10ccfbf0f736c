"""What language models are asked, and how their answers are read.

The formats are the paper's: caption, `\\n##\\n`, instruction, `\\n%%\\n`, edited caption, `\\nEND` (Brooks et al. 2022,
section 3.1); chat models may also answer with a JSON object.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ip2p_cli.datagen.stages import seed_of
from ip2p_cli.datagen.triplets.seeds import Exemplar, exemplars
from ip2p_cli.types import Caption

if TYPE_CHECKING:
    from ip2p_cli.datagen.triplets.stage import TripletSettings

ASK, BETWEEN, END = "\n##\n", "\n%%\n", "\nEND"
UNLABELLED = "other"  # what a model that was fine-tuned chose itself

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"instruction": {"type": "string"}, "edited_caption": {"type": "string"}},
    "required": ["instruction", "edited_caption"],
    "additionalProperties": False,
}
TASK = (
    "You write examples for teaching a model to edit photos. You are given the caption of a picture. Think of one edit "
    "that someone could ask for, and give the instruction and the caption of the edited picture. The edited caption "
    "keeps everything that the edit does not change."
)
_STYLES = (
    "Word the instruction as a short command.",
    "Word the instruction casually, as in a message to a friend.",
    "Word the instruction in at most five words.",
    "Word the instruction as a polite question.",
    "Word the instruction as a wish about the result.",
    "Do not name the picture in the instruction, only the change.",
    "Be inventive, but stay with what can be seen.",
    "Choose an everyday edit.",
)
_OWN_KIND = 3  # exemplars of the wanted kind among those shown


@dataclass(frozen=True)
class Ask:
    """One call: the n-th triplet of a caption. seed: of all that is drawn for it; shown: exemplars."""

    caption: Caption
    nth: int
    kind: str
    seed: int
    style: str
    shown: Sequence[Exemplar]


def asks_of(captions: Sequence[Caption], settings: TripletSettings) -> list[Ask]:
    """The calls for a shard, in order. Where `settings.balance`, kinds come round equally often, else each is drawn."""
    kinds = sorted({exemplar.kind for exemplar in exemplars()})
    turn: list[str] = []
    asks = []
    for caption in captions:
        for nth in range(settings.per_caption):
            own = seed_of(settings.seed, caption.key, nth, "ask")
            draw = random.Random(own)
            if not turn:
                turn = random.Random(own).sample(kinds, len(kinds))
            kind = turn.pop() if settings.balance else draw.choice(kinds)
            shown = _shown(draw, kind, settings.shots)
            asks.append(Ask(caption, nth, kind if settings.shots else UNLABELLED, own, draw.choice(_STYLES), shown))
    return asks


def messages(ask: Ask, *, as_json: bool) -> list[dict[str, str]]:
    """A conversation for a chat model; as_json: that asks for an object, not for the paper's format."""
    how = (
        'Answer with a JSON object: {"instruction": …, "edited_caption": …}.'
        if as_json
        else "Answer with the instruction, a line with %%, the edited caption, and a line with END; nothing else."
    )
    system = f"{TASK} {how}"
    if ask.shown:
        system += f" The kind of edit: {ask.kind}. {ask.style}"
    said = [{"role": "system", "content": system}]
    for one in ask.shown:
        said += _turn(one.caption, one.instruction, one.edited_caption, as_json=as_json)
    return [*said, {"role": "user", "content": ask.caption.caption}]


def completion_prompt(ask: Ask) -> str:
    """A text for a model without conversations to go on with; without exemplars, what a fine-tuned one has learnt."""
    lead = f"{TASK}\nThe kind of edit: {ask.kind}. {ask.style}\n\n" if ask.shown else ""
    shown = "".join(
        f"{one.caption}{ASK}{completion(one.instruction, one.edited_caption)}\n\n" for one in reversed(ask.shown)
    )
    return f"{lead}{shown}{ask.caption.caption}{ASK}"


def completion(instruction: str, edited: str) -> str:
    """The paper's answer, with the space that its examples begin with."""
    return f" {instruction}{BETWEEN}{edited}{END}"


def chat_example(caption: str, instruction: str, edited: str) -> list[dict[str, str]]:
    """The conversation that a chat model is fine-tuned on, as `messages` without exemplars asks for it."""
    ask = Ask(Caption(key="", caption=caption), 0, UNLABELLED, 0, "", ())
    return messages(ask, as_json=True)[:1] + _turn(caption, instruction, edited, as_json=True)


def parse(answer: str) -> tuple[str, str] | None:
    """(instruction, edited caption) of an answer in either format; None where it does not split in two."""
    text = re.sub(r"^\s*<think>.*?</think>", "", answer, flags=re.DOTALL)
    found = _parse_json(text)
    if found is None:
        parts = [part.strip() for part in text.split("\nEND", 1)[0].split("%%")]
        found = (parts[0], parts[1]) if len(parts) == 2 else None
    if found is None:
        return None
    instruction, edited = (" ".join(part.split()) for part in found)
    return (instruction, edited) if instruction and edited else None


def _parse_json(text: str) -> tuple[str, str] | None:
    begin, end = text.find("{"), text.rfind("}")
    try:
        found = json.loads(text[begin : end + 1]) if 0 <= begin < end else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    values = (found.get("instruction"), found.get("edited_caption"))
    return (values[0], values[1]) if isinstance(values[0], str) and isinstance(values[1], str) else None


def _turn(caption: str, instruction: str, edited: str, *, as_json: bool) -> list[dict[str, str]]:
    if as_json:
        answer = json.dumps({"instruction": instruction, "edited_caption": edited}, ensure_ascii=False)
    else:
        answer = f"{instruction}{BETWEEN}{edited}{END}"
    return [{"role": "user", "content": caption}, {"role": "assistant", "content": answer}]


def _shown(draw: random.Random, kind: str, shots: int) -> list[Exemplar]:
    own = [one for one in exemplars() if one.kind == kind]
    others = [one for one in exemplars() if one.kind != kind]
    first = draw.sample(own, min(len(own), _OWN_KIND, shots))
    chosen = first + draw.sample(others, min(len(others), shots - len(first)))
    draw.shuffle(chosen)
    return chosen
