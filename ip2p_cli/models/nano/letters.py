"""How alike texts are written: the cosine of their letter n-grams, each weighted by how rare it is (TF-IDF).

A sentence encoder this small misses rare words and typing errors; shared letters find them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_LENGTHS = (3, 4, 5)


class LetterIndex:
    """Compares texts with a fixed list of texts.

    Args:
        texts: The list.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._number: dict[str, int] = {}
        grams = [[self._number.setdefault(gram, len(self._number)) for gram in _grams(text)] for text in texts]
        self._texts = np.repeat(np.arange(len(texts)), [len(one) for one in grams])
        self._grams = np.array([gram for one in grams for gram in one], np.int64)
        self._rarity = np.log(len(texts) / np.bincount(self._grams, minlength=len(self._number))) ** 2
        self._unseen = float(np.log(len(texts)) ** 2)
        lengths = np.sqrt(np.bincount(self._texts, self._rarity[self._grams], minlength=len(texts)))
        self._lengths = np.maximum(lengths, 1e-9)

    def similarities(self, text: str) -> npt.NDArray[np.float64]:
        """Return the cosine, 0 to 1, of a text to each text of the list."""
        grams = _grams(text)
        known = [self._number[gram] for gram in grams if gram in self._number]
        weights = np.zeros(len(self._rarity))
        weights[known] = self._rarity[known]
        shared = np.bincount(self._texts, weights[self._grams], minlength=len(self._lengths))
        return np.asarray(
            shared / self._lengths / max(1e-9, float(np.sqrt(weights.sum() + self._unseen * (len(grams) - len(known)))))
        )


def _grams(text: str) -> set[str]:
    padded = f" {' '.join(re.findall('[a-z0-9]+', text.lower()))} "
    return {padded[start : start + length] for length in _LENGTHS for start in range(len(padded) - length + 1)}
