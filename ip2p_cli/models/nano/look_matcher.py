"""What nano understands by an instruction: the look whose wordings are nearest, and the region that it names.

The wordings and their sentence states (the text encoder's pooled output, of unit length) are beside the weights.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from ip2p_cli.looks.region_words import find_region
from ip2p_cli.looks.regions import REGIONS
from ip2p_cli.models.editor import Editor, token_ids
from ip2p_cli.models.nano.letters import LetterIndex

_WORDINGS, _STATES, _REGIONS = "wordings.json", "wordings.safetensors", "regions.json"
_LETTERS = 1.8  # weight of alike letters against that of a near meaning
# Similarities to the nearest wording, set with `python -m benchmarks.unknown_words`. From KNOWN on nano knows the look,
# from NEAR on it can do the nearest look in place of the instruction.
KNOWN = 0.55
NEAR = 0.42
_SAME = 0.9  # from here on, words differ by a typing error or a full stop


@dataclass(frozen=True, kw_only=True)
class Closest:
    """The looks nearest to an instruction, and its region.

    Attributes:
        similarity: Of the nearest look's nearest wording to the instruction without its region, at most 1: the mean of
            the cosines of their sentence states and of their letters, weighted.
        looks: The names of the looks, nearest first: those whose two nearest wordings are nearest.
        wordings: The plainest wording of each look.
        region: A name in REGIONS; None if the instruction names no region, or one that nano does not know.
        unknown_region: The words for a region that nano does not know, such as “the car”.
        masked_region: A name in REGIONS: a region that the weights were not trained for, and a mask can stand for.
        nearest: The nearest look's nearest wording, at the strength that it has.
    """

    similarity: float
    looks: tuple[str, ...]
    wordings: tuple[str, ...]
    region: str | None = None
    unknown_region: str | None = None
    masked_region: str | None = None
    nearest: str = ""

    @property
    def known(self) -> bool:
        """Whether nano knows the look."""
        return self.similarity >= KNOWN

    @property
    def same(self) -> bool:
        """Whether the instruction is nearly word for word the nearest wording."""
        return self.similarity >= _SAME

    @property
    def near(self) -> bool:
        """Whether the nearest look is near enough to be done in place of the instruction."""
        return self.similarity >= NEAR

    @property
    def plainest(self) -> str:
        """The plainest wording of the nearest look, for the region if there is one."""
        noun = REGIONS[self.region].nouns[0] if self.region is not None else None
        return self.wordings[0] if noun is None else f"only {noun}: {self.wordings[0]}"

    @property
    def examples(self) -> str:
        """The wordings, quoted, for a message."""
        return ", ".join(f"“{wording}”" for wording in self.wordings)


@torch.no_grad()
def sentence_states(editor: Editor, texts: Sequence[str]) -> Tensor:
    """Embed texts as unit vectors (N, D) on the CPU."""
    ids = token_ids(editor.tokenizer, texts, editor.text_length)
    pooled: Tensor = editor.text_encoder(ids.to(editor.device)).pooler_output
    return F.normalize(pooled.float(), dim=1).cpu()


def write_known(editor: Editor, wordings: Sequence[tuple[str, str]], folder: Path, regions: Sequence[str] = ()) -> None:
    """Write what a model folder's weights know: the `wordings` (text, look), their states, and the `regions`."""
    states = sentence_states(editor, [text for text, _ in wordings])
    save_file({"states": states.half().contiguous()}, folder / _STATES)
    (folder / _WORDINGS).write_text(json.dumps(wordings, indent=0, ensure_ascii=False) + "\n", "utf-8")
    (folder / _REGIONS).write_text(json.dumps(list(regions)) + "\n", "utf-8")


def closest(editor: Editor, instruction: str, count: int = 3) -> Closest:
    """Find the `count` looks nearest to an instruction, and the region that it names."""
    folder = Path(editor.spec.source)
    known = _known(folder, (folder / _STATES).stat().st_mtime_ns)
    found, regions = find_region(instruction), known_regions(folder)
    # A region's words can be a look's own as well: of both readings the nearer one counts.
    readings = list(dict.fromkeys([instruction, found.rest]))
    by_letters = np.stack([known.letters.similarities(text) for text in readings])
    by_meaning = (sentence_states(editor, readings) @ known.states.T).numpy()
    similar = ((by_meaning + _LETTERS * by_letters) / (1 + _LETTERS)).max(axis=0)
    nearest = {look: rows[np.argsort(-similar[rows], kind="stable")[:2]] for look, rows in known.rows.items()}
    looks = sorted(nearest, key=lambda look: -float(similar[nearest[look]].mean()))[:count]
    first = int(nearest[looks[0]][0])
    return Closest(
        similarity=float(similar[first]),
        looks=tuple(looks),
        wordings=tuple(known.texts[known.rows[look][0]] for look in looks),
        region=found.name if found.name in regions else None,
        unknown_region=found.unknown,
        masked_region=found.name if found.name not in regions else None,
        nearest=known.texts[first],
    )


def is_wording(folder: Path, instruction: str) -> bool:
    """Whether an instruction is one of the wordings of a model folder; needs no loaded model."""
    return any(instruction == text for text, _ in json.loads((folder / _WORDINGS).read_text("utf-8")))


def known_regions(folder: Path) -> tuple[str, ...]:
    """The regions that a model folder was trained for; none where it does not say so."""
    path = folder / _REGIONS
    return tuple(json.loads(path.read_text("utf-8"))) if path.exists() else ()


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What a model folder knows.

    Attributes:
        texts: Its wordings.
        states: Their sentence states (N, D).
        letters: Compares letters with theirs.
        rows: The numbers of each look's wordings; the first one is the plainest.
    """

    texts: list[str]
    states: Tensor
    letters: LetterIndex
    rows: dict[str, npt.NDArray[np.intp]]


@lru_cache(maxsize=2)
def _known(folder: Path, changed: int) -> _Known:
    """Read what a model folder knows; changed: when its files were."""
    wordings: list[list[str]] = json.loads((folder / _WORDINGS).read_text("utf-8"))
    texts, looks = [text for text, _ in wordings], np.array([look for _, look in wordings])
    return _Known(
        texts=texts,
        states=load_file(folder / _STATES)["states"].float(),
        letters=LetterIndex(texts),
        rows={str(look): np.flatnonzero(looks == look) for look in dict.fromkeys(looks)},
    )
