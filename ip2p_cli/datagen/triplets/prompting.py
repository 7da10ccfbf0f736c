r"""Prompts for language models, and how their answers are read.

The formats are the paper's: caption, `\n##\n`, instruction, `\n%%\n`, edited caption, `\nEND` (Brooks et al. 2022,
section 3.1); chat models may also answer with a JSON object.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ip2p_cli.datagen.stages import seed_of
from ip2p_cli.datagen.triplets.data_files import Exemplar, exemplars
from ip2p_cli.datagen.triplets.draft import Draft
from ip2p_cli.datagen.triplets.settings import TripletSettings
from ip2p_cli.io.shards import read_object
from ip2p_cli.types import Caption

ASK, BETWEEN, END = "\n##\n", "\n%%\n", "\nEND"
UNLABELLED = "other"  # the kind where a fine-tuned model chooses the edit itself

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
_OF_KIND = 3  # exemplars of the prompt's kind among those shown


@dataclass(frozen=True)
class Prompt:
    """A prompt for a triplet of a caption.

    Attributes:
        caption: The caption.
        kind: The kind of edit to ask for.
        seed: Of all that is drawn for the prompt and its answer.
        style: A rule for the instruction's wording.
        shown: The exemplars in the prompt.
    """

    caption: Caption
    kind: str
    seed: int
    style: str
    shown: Sequence[Exemplar]


def prompts_of(captions: Sequence[Caption], settings: TripletSettings) -> list[Prompt]:
    """The prompts for the captions of a shard, in order.

    With `settings.balance` each kind comes once before one comes again, else each prompt draws its kind.
    """
    kinds = sorted({exemplar.kind for exemplar in exemplars()})
    round_of_kinds: list[str] = []
    prompts = []
    for caption in captions:
        for attempt in range(settings.per_caption):
            seed = seed_of(settings.seed, caption.key, attempt, "ask")
            draw = random.Random(seed)
            if not round_of_kinds:
                round_of_kinds = random.Random(seed).sample(kinds, len(kinds))
            kind = round_of_kinds.pop() if settings.balance else draw.choice(kinds)
            shown = _drawn_exemplars(draw, kind, settings.shots)
            style = draw.choice(_STYLES)
            prompts.append(Prompt(caption, kind if settings.shots else UNLABELLED, seed, style, shown))
    return prompts


def messages(prompt: Prompt, *, as_json: bool) -> list[dict[str, str]]:
    """The prompt as a conversation. as_json: ask for a JSON object, not for the paper's format."""
    how = (
        'Answer with a JSON object: {"instruction": …, "edited_caption": …}.'
        if as_json
        else "Answer with the instruction, a line with %%, the edited caption, and a line with END; nothing else."
    )
    system = f"{TASK} {how}"
    if prompt.shown:
        system += f" The kind of edit: {prompt.kind}. {prompt.style}"
    conversation = [{"role": "system", "content": system}]
    for shown in prompt.shown:
        conversation += _turn(shown.caption, shown.instruction, shown.edited_caption, as_json=as_json)
    return [*conversation, {"role": "user", "content": prompt.caption.caption}]


def completion_prompt(prompt: Prompt) -> str:
    """The prompt as a text to go on with; without exemplars it is what a fine-tuned model was taught."""
    lead = f"{TASK}\nThe kind of edit: {prompt.kind}. {prompt.style}\n\n" if prompt.shown else ""
    shown = "".join(
        f"{exemplar.caption}{ASK}{completion(exemplar.instruction, exemplar.edited_caption)}\n\n"
        for exemplar in reversed(prompt.shown)
    )
    return f"{lead}{shown}{prompt.caption.caption}{ASK}"


def completion(instruction: str, edited: str) -> str:
    """An answer in the paper's format, with the space that its examples begin with."""
    return f" {instruction}{BETWEEN}{edited}{END}"


def chat_example(caption: str, instruction: str, edited: str) -> list[dict[str, str]]:
    """A conversation to fine-tune a chat model on; `messages` without exemplars begins the same way."""
    prompt = Prompt(Caption(key="", caption=caption), UNLABELLED, 0, "", ())
    return messages(prompt, as_json=True)[:1] + _turn(caption, instruction, edited, as_json=True)


def draft_of(answer: str, kind: str) -> Draft | str:
    """The draft that an answer holds, or the reason why it holds none."""
    parts = parse(answer)
    return "does not split in two" if parts is None else Draft(instruction=parts[0], edited_caption=parts[1], kind=kind)


def parse(answer: str) -> tuple[str, str] | None:
    """The instruction and the edited caption of an answer in either format; None where it does not split in two."""
    text = re.sub(r"^\s*<think>.*?</think>", "", answer, flags=re.DOTALL)
    parts = _parse_json(text) or [part.strip() for part in text.split(END, 1)[0].split("%%")]
    if len(parts) != 2:
        return None
    instruction, edited = (" ".join(part.split()) for part in parts)
    return (instruction, edited) if instruction and edited else None


def _parse_json(text: str) -> list[str] | None:
    begin, end = text.find("{"), text.rfind("}")
    try:
        value = read_object(text[begin : end + 1].encode())
    except (ValueError, RecursionError):
        return None
    parts = [part for name in ("instruction", "edited_caption") if isinstance(part := value.get(name), str)]
    return parts if len(parts) == 2 else None


def _turn(caption: str, instruction: str, edited: str, *, as_json: bool) -> list[dict[str, str]]:
    if as_json:
        answer = json.dumps({"instruction": instruction, "edited_caption": edited}, ensure_ascii=False)
    else:
        answer = completion(instruction, edited)[1:]
    return [{"role": "user", "content": caption}, {"role": "assistant", "content": answer}]


def _drawn_exemplars(draw: random.Random, kind: str, count: int) -> list[Exemplar]:
    of_kind = [exemplar for exemplar in exemplars() if exemplar.kind == kind]
    others = [exemplar for exemplar in exemplars() if exemplar.kind != kind]
    chosen = draw.sample(of_kind, min(len(of_kind), _OF_KIND, count))
    chosen += draw.sample(others, min(len(others), count - len(chosen)))
    draw.shuffle(chosen)
    return chosen
