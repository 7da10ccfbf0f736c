"""How triplets are written, and how the models that write them are reached."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ip2p_cli.datagen.openai_client import KEY_NAME
from ip2p_cli.datagen.stages import key_of
from ip2p_cli.datagen.triplets.data_files import digest
from ip2p_cli.datagen.triplets.filters import read_blocklist
from ip2p_cli.errors import ModelError, UsageError
from ip2p_cli.io.names import printable
from ip2p_cli.types import DeviceName

WriterName = Literal["grammar", "endpoint", "local"]


@dataclass(frozen=True, kw_only=True)
class TripletSettings:
    """What the triplets depend on. Raises UsageError for a combination that is not possible.

    Attributes:
        writer: The grammar, a model behind an endpoint, or a local model.
        seed: Of all that is drawn.
        per_caption: The triplets to try for of each caption.
        balance: Draw the kinds of edits equally often.
        looks_only: With the grammar, write only edits that a look paints.
        model: The endpoint's name of its model, or the local model's folder.
        temperature: Of the model's sampling.
        tokens: The most tokens of an answer.
        shots: The exemplars in a prompt; 0 for a model that was fine-tuned.
        blocklist: A file of words; triplets with one are dropped.
        moderate: Whether an endpoint judges the triplets.
    """

    writer: WriterName = "grammar"
    seed: int = 0
    per_caption: int = 1
    balance: bool = True
    looks_only: bool = False
    model: str | None = None
    temperature: float = 0.7
    tokens: int = 256
    shots: int = 8
    blocklist: Path | None = None
    moderate: bool = False

    def __post_init__(self) -> None:
        """Check what depends on the writer."""
        if self.looks_only and self.writer != "grammar":
            raise UsageError("--looks-only is about the grammar: leave it out, or use --writer grammar")
        if self.writer == "local" and not self.model:
            raise UsageError("--writer local needs --llm: the folder of a causal language model")

    def about(self) -> dict[str, Any]:
        """What the shards depend on, for stage.json. Raises InputError where the blocklist cannot be read."""
        settings = asdict(self) | {"blocklist": None}
        if self.blocklist is not None:
            settings["blocklist"] = key_of(read_blocklist(self.blocklist).pattern)
        if self.writer == "local":
            settings["model"] = Path(self.model or "").name
        if self.writer == "grammar":
            unused = {"model", "temperature", "tokens", "shots"}
            settings["grammar"] = digest("grammar.yaml")
        else:
            unused = {"looks_only"}
            settings["exemplars"] = digest("seeds.yaml")
        return {name: value for name, value in settings.items() if name not in unused}


@dataclass(frozen=True, kw_only=True)
class EndpointConfig:
    """How models are reached. The data do not depend on it, and the key is never written anywhere.

    Attributes:
        url: The base of an OpenAI-compatible endpoint, such as "http://localhost:8000/v1".
        moderation: The base of an endpoint for moderation.
        key_name: The environment variable with the key.
        concurrency: Calls at the same time.
        timeout: Seconds to wait for an answer.
        tries: How often a request is sent before it fails.
        pause: Seconds before a request is sent again, doubled each time.
        batch: Captions that a local model works on together.
        device: Where a local model runs.
    """

    url: str | None = None
    moderation: str | None = None
    key_name: str = KEY_NAME
    concurrency: int = 8
    timeout: float = 60.0
    tries: int = 6
    pause: float = 0.5
    batch: int = 8
    device: DeviceName = "auto"


def check_folder(folder: Path) -> None:
    """Raise ModelError where a folder holds no language model."""
    if not (folder / "config.json").is_file():
        raise ModelError(f"{printable(folder)} holds no language model (no config.json): give the folder of one")
