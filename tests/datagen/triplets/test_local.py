"""The local writer, with language models of a few thousand weights: a random one, and one that learnt an answer."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.decoders import ByteLevel
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from ip2p_cli.datagen.triplets import EndpointConfig, TripletSettings, write_triplets
from ip2p_cli.datagen.triplets.draft import Draft
from ip2p_cli.datagen.triplets.local import LocalWriter
from ip2p_cli.datagen.triplets.prompting import ASK, completion
from ip2p_cli.errors import ModelError
from ip2p_cli.io.shards import Shards
from ip2p_cli.types import Caption

CAPTIONS = [
    Caption(key=str(n), caption=f"a {word}") for n, word in enumerate(["cat", "dog", "very long lamp", "fox", "owl"])
]
ANSWER = completion("gild it", "a golden thing")


def tokenizer() -> PreTrainedTokenizerFast:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={c: n for n, c in enumerate(["<end>", *letters])}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>", model_max_length=256)


def model(steps: int) -> GPT2LMHeadModel:
    """Random, or taught in `steps` to give one answer to anything."""
    config = GPT2Config(vocab_size=257, n_positions=256, n_embd=48, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = GPT2LMHeadModel(config)
        optimizer = torch.optim.AdamW(made.parameters(), lr=5e-3)
        words, reader = ["a cat", "a dog", "a tree", "a fox", "an owl", "a long lamp", "a very big house"], tokenizer()
        rows = [reader(word + ASK + ANSWER + "<end>")["input_ids"] for word in words]
        for step in range(steps):
            ids = torch.tensor([rows[step % len(rows)]])
            optimizer.zero_grad()
            made(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
    return made.eval()


def saved(folder: Path, steps: int) -> Path:
    model(steps).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def written(folder: Path, captions: list[Caption] = CAPTIONS, batch: int = 3, **more: object) -> list[Draft | str]:
    options: dict[str, object] = {"shots": 0, "tokens": 60, "seed": 1, **more}
    settings = TripletSettings(writer="local", model=str(folder), **options)  # type: ignore[arg-type]
    return [draft for _, draft in LocalWriter(settings, EndpointConfig(batch=batch, device="cpu")).drafts(captions)]


def test_garbage_is_counted(tmp_path: Path) -> None:
    drafts = written(saved(tmp_path / "random", 0), tokens=20)
    assert drafts == ["does not split in two"] * 5


def test_the_stage_counts_it(tmp_path: Path) -> None:
    with Shards(folder=tmp_path / "captions").writing(0) as writer:
        for caption in CAPTIONS:
            writer.add(asdict(caption))
    settings = TripletSettings(writer="local", model=str(saved(tmp_path / "m", 0)), shots=0, tokens=8)
    ((_, marker, _),) = write_triplets(tmp_path, settings, EndpointConfig(device="cpu"))
    assert not isinstance(marker, Exception)
    assert (marker.rows, marker.counts) == (0, {"does not split in two": 5})
    assert Shards(folder=tmp_path / "triplets").about()["model"] == "m"  # type: ignore[index]


@pytest.mark.slow
def test_a_model_that_learnt_it(tmp_path: Path) -> None:
    folder = saved(tmp_path / "taught", 220)
    cold = written(folder, temperature=0.0)
    assert cold.count(Draft(instruction="gild it", edited_caption="a golden thing", kind="other")) >= 3
    warm = written(folder, temperature=0.7)
    assert warm == written(folder, temperature=0.7)
    assert written(folder, [CAPTIONS[3]], temperature=0.7) == [warm[3]]  # whatever else is in its batch


def test_samples_follow_the_seed_not_the_batch(tmp_path: Path) -> None:
    folder = saved(tmp_path / "random", 0)
    settings = TripletSettings(writer="local", model=str(folder), shots=0, tokens=8)
    writer = LocalWriter(settings, EndpointConfig(device="cpu"))
    from ip2p_cli.datagen.triplets.prompting import prompts_of

    prompts = prompts_of(CAPTIONS, TripletSettings(seed=0, per_caption=1, shots=0, balance=True))
    together = writer._answers(prompts)
    assert [writer._answers([prompt])[0] for prompt in prompts] == together
    assert len(set(together)) == 5
    other = prompts_of(CAPTIONS, TripletSettings(seed=1, per_caption=1, shots=0, balance=True))
    assert writer._answers(other) != together


def test_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no language model"):
        written(tmp_path)
    with pytest.raises(ModelError, match=r"takes 256 tokens, the prompts have .*lower --shots"):
        written(saved(tmp_path / "random", 0), shots=6)
