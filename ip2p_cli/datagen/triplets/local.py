"""Runs a causal language model from a folder, several captions at once.

Each prompt samples with Gumbel noise from its own generator, so its answer does not depend on the others in its batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from ip2p_cli.datagen.triplets.draft import Draft
from ip2p_cli.datagen.triplets.prompting import END, Prompt, completion_prompt, draft_of, messages, prompts_of
from ip2p_cli.datagen.triplets.settings import EndpointConfig, TripletSettings, check_folder
from ip2p_cli.errors import ModelError
from ip2p_cli.io.names import printable
from ip2p_cli.models.device import pick_device
from ip2p_cli.models.library_logging import quiet
from ip2p_cli.types import Caption

_LIKELIEST = 100  # tokens to sample from
_LAST_TOKENS = 12  # of an answer, in which its end mark is looked for
_ENDS = (END, "END\n")


class LocalWriter:
    """Runs the model in the folder `settings.model`. Raises ModelError where it cannot be read."""

    def __init__(self, settings: TripletSettings, config: EndpointConfig) -> None:
        folder = Path(settings.model or "")
        self.name = f"local:{folder.name}"
        self._settings, self._batch = settings, config.batch
        self._device = torch.device(pick_device(config.device).name)
        self._tokenizer, self._model = _load(folder, self._device)

    def drafts(self, captions: Sequence[Caption]) -> Iterator[tuple[Caption, Draft | str]]:
        """See `Writer`. Raises ModelError where the prompts are too long for the model."""
        prompts = prompts_of(captions, self._settings)
        for start in range(0, len(prompts), self._batch):
            batch = prompts[start : start + self._batch]
            for prompt, answer in zip(batch, self._answers(batch), strict=True):
                yield prompt.caption, draft_of(answer, prompt.kind)

    @torch.inference_mode()
    def _answers(self, prompts: Sequence[Prompt]) -> list[str]:
        """The answers, each cut before its end mark."""
        from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

        tokenizer, settings = self._tokenizer, self._settings
        chat = settings.shots > 0 and tokenizer.chat_template is not None
        texts = [self._chat_text(prompt) if chat else completion_prompt(prompt) for prompt in prompts]
        inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=not chat).to(self._device)
        length = inputs["input_ids"].shape[1]
        limit = getattr(self._model.config, "max_position_embeddings", None)
        if isinstance(limit, int) and length + settings.tokens > limit:
            raise ModelError(
                f"{self.name} takes {limit} tokens, the prompts have {length} and answers may have {settings.tokens}: "
                "lower --shots or --max-tokens"
            )
        noise = _GumbelNoise([prompt.seed for prompt in prompts], settings.temperature)
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
            stopping_criteria=StoppingCriteriaList([_HasEnded(tokenizer, length)]),
        )
        answers = tokenizer.batch_decode(written[:, length:], skip_special_tokens=True)
        return [str(answer).split(END, 1)[0] for answer in answers]

    def _chat_text(self, prompt: Prompt) -> str:
        conversation = messages(prompt, as_json=False)
        return str(self._tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True))


class _GumbelNoise:
    """A logits processor: adds noise to scores (B, V), so that the largest is a sample (the Gumbel-max trick).

    Tokens that are not among the likeliest are left out, which spares noise for a whole vocabulary.
    """

    def __init__(self, seeds: Sequence[int], temperature: float) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._temperature = temperature

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self._temperature == 0:
            return scores
        top, indices = scores.float().topk(min(_LIKELIEST, scores.shape[-1]), dim=-1)
        rows = [torch.rand(top.shape[-1], generator=row, dtype=torch.float64) for row in self._generators]
        uniform = torch.stack(rows)
        gumbel = -torch.log(-torch.log(uniform.clamp(1e-12, 1 - 1e-12)))
        noisy = top / self._temperature + gumbel.to(top)
        return torch.full_like(scores, float("-inf"), dtype=torch.float32).scatter(-1, indices, noisy)


class _HasEnded:
    """A stopping criterion: whether each answer (B,) has its end mark after a prompt of `length` tokens."""

    def __init__(self, tokenizer: Any, length: int) -> None:
        self._tokenizer, self._length = tokenizer, length

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        tails = self._tokenizer.batch_decode(input_ids[:, self._length :][:, -_LAST_TOKENS:], skip_special_tokens=True)
        return torch.tensor([any(end in tail for end in _ENDS) for tail in tails], device=input_ids.device)


def _load(folder: Path, device: torch.device) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    check_folder(folder)
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
