"""The writer that runs a causal language model from a folder, several captions at once.

Sampling is by Gumbel noise from each item's own generator, so that an item's answer follows from its seed, not from
which others are in its batch; from the most likely tokens only, which spares drawing for a whole vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ip2p_cli.datagen.triplets.draft import Draft
from ip2p_cli.datagen.triplets.prompting import Ask, asks_of, completion_prompt, messages, parse
from ip2p_cli.errors import ModelError
from ip2p_cli.io.names import printable
from ip2p_cli.models.device import pick_device
from ip2p_cli.models.library_logging import quiet
from ip2p_cli.types import Caption

if TYPE_CHECKING:
    from ip2p_cli.datagen.triplets.stage import EndpointConfig, TripletSettings

_TOP = 100
_MARGIN = 12  # tokens at the end of an answer in which its end mark is looked for
_ENDS = ("\nEND", "END\n")


class LocalWriter:
    """Runs the model in the folder `settings.model`. Raises ModelError where it cannot be read."""

    def __init__(self, settings: TripletSettings, access: EndpointConfig) -> None:
        folder = Path(settings.model or "")
        self.name = f"local:{folder.name}"
        self._settings, self._batch = settings, access.batch
        self._device = torch.device(pick_device(access.device).name)
        self._tokenizer, self._model = _load(folder, self._device)

    def drafts(self, captions: Sequence[Caption]) -> Iterator[tuple[Caption, Draft | str]]:
        """See `Writer`."""
        asks = asks_of(captions, self._settings)
        for start in range(0, len(asks), self._batch):
            part = asks[start : start + self._batch]
            for ask, text in zip(part, self._answers(part), strict=True):
                found = parse(text)
                if found is None:
                    yield ask.caption, "does not split in two"
                else:
                    yield ask.caption, Draft(instruction=found[0], edited_caption=found[1], kind=ask.kind)

    @torch.inference_mode()
    def _answers(self, asks: Sequence[Ask]) -> list[str]:
        """The answers, each cut after its end mark."""
        from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

        tokenizer, settings = self._tokenizer, self._settings
        chat = settings.shots > 0 and tokenizer.chat_template is not None
        prompts = [self._chat(ask) if chat else completion_prompt(ask) for ask in asks]
        inputs = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=not chat).to(self._device)
        length = inputs["input_ids"].shape[1]
        limit = getattr(self._model.config, "max_position_embeddings", None)
        if isinstance(limit, int) and length + settings.tokens > limit:
            raise ModelError(
                f"{self.name} takes {limit} tokens, the prompts have {length} and answers may have {settings.tokens}: "
                "lower --shots or --max-tokens"
            )
        noise = _Gumbel([ask.seed for ask in asks], settings.temperature)
        written = self._model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            generation_config=GenerationConfig(
                do_sample=False,
                max_new_tokens=settings.tokens,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
            ),
            logits_processor=LogitsProcessorList([noise]),
            stopping_criteria=StoppingCriteriaList([_Ended(tokenizer, length)]),
        )
        texts = tokenizer.batch_decode(written[:, length:], skip_special_tokens=True)
        return [str(text).split("\nEND", 1)[0] for text in texts]

    def _chat(self, ask: Ask) -> str:
        said = messages(ask, as_json=False)
        return str(self._tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True))


class _Gumbel:
    """Scores (B, V) with noise, whose largest is then a sample (Gumbel-max); a logits processor."""

    def __init__(self, seeds: Sequence[int], temperature: float) -> None:
        self._draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._temperature = temperature

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self._temperature == 0:
            return scores
        top, places = scores.float().topk(min(_TOP, scores.shape[-1]), dim=-1)
        uniform = torch.stack([torch.rand(top.shape[-1], generator=draw, dtype=torch.float64) for draw in self._draws])
        gumbel = -torch.log(-torch.log(uniform.clamp(1e-12, 1 - 1e-12)))
        noisy = top / self._temperature + gumbel.to(top)
        return torch.full_like(scores, float("-inf"), dtype=torch.float32).scatter(-1, places, noisy)


class _Ended:
    """Whether each answer (B,) has its end mark; a stopping criterion. start: tokens of the prompt."""

    def __init__(self, tokenizer: Any, start: int) -> None:
        self._tokenizer, self._start = tokenizer, start

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        tails = self._tokenizer.batch_decode(input_ids[:, self._start :][:, -_MARGIN:], skip_special_tokens=True)
        return torch.tensor([any(end in tail for end in _ENDS) for tail in tails], device=input_ids.device)


def _load(folder: Path, device: torch.device) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not (folder / "config.json").is_file():
        raise ModelError(f"{printable(folder)} holds no language model (no config.json): give the folder of one")
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, padding_side="left")
            model = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=dtype
            )
    except (OSError, ValueError, KeyError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{printable(folder)} cannot be loaded ({printable(first)})") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer, model.to(device).eval()
