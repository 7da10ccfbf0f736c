"""What the filter did: how the scores are spread, which share passes each gate, and some pairs kept and dropped."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ip2p_cli.datagen.dataset.tars import data_pairs
from ip2p_cli.datagen.histogram import Spread, spread_of
from ip2p_cli.datagen.selection import Keeping, Row
from ip2p_cli.io.pairs_page import Card, Histogram, Table, pairs_page

SHOWN = 24  # pairs kept, and as many dropped
_MAX_KINDS = 24
_NOT_SCORES = ("key", "triplet", "kind")


@dataclass(kw_only=True)
class Summary:
    """Counts of all pairs that were scored, none of which grows with the data.

    passed, kinds: by (gate, kind) and by kind; kept likewise. reasons: of what was dropped.
    """

    measure: str
    pairs: int = 0
    triplets: int = 0
    kept_triplets: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    passed: Counter[tuple[str, str]] = field(default_factory=Counter)
    passed_all: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    spreads: dict[str, Spread] = field(default_factory=dict)
    shown: dict[bool, _Drawn] = field(default_factory=lambda: {True: _Drawn(), False: _Drawn()})

    def data(self) -> dict[str, Any]:
        """As one object for --json: counts, and the share of pairs that passes each gate, in all and by kind."""
        return {
            "measure": self.measure,
            "pairs": self.pairs,
            "kept": self.kept.total(),
            "triplets": self.triplets,
            "kept_triplets": self.kept_triplets,
            "dropped": dict(self.reasons.most_common()),
            "rates": {row[0]: dict(zip(self.head()[1:], row[1:], strict=True)) for row in self.rates()},
        }

    def head(self) -> list[str]:
        """What the columns of `rates` are called: the commonest kinds."""
        return ["gate", "all", *(name for name, _ in self.kinds.most_common(_MAX_KINDS))]

    def rates(self) -> list[list[Any]]:
        """For each gate, and for all of them, the share of pairs that passes, 0 to 1, in all and by kind."""
        gates = list(dict.fromkeys(gate for gate, _ in self.passed))
        rows = [[gate, *self._shares(self._of_gate(gate))] for gate in gates]
        return [*rows, ["all gates", *self._shares(self.passed_all)], ["kept", *self._shares(self.kept)]]

    def _of_gate(self, gate: str) -> Mapping[str, int]:
        return {kind: count for (name, kind), count in self.passed.items() if name == gate}

    def _shares(self, counts: Mapping[str, int]) -> list[float]:
        share = [sum(counts.values()) / max(1, self.pairs)]
        share += [counts.get(kind, 0) / self.kinds[kind] for kind, _ in self.kinds.most_common(_MAX_KINDS)]
        return [round(value, 4) for value in share]


def summarise(keeping: Keeping, numbers: Sequence[int], measured: Mapping[str, Any]) -> Summary:
    """Decide again about every pair of the shards, and count. Raises InputError where a shard cannot be read."""
    told = Summary(measure=str(measured.get("measure")))
    for gate in keeping.gates:
        told.passed[str(gate), ""] = 0  # so that one that nothing passes is in the table too
    for number in numbers:
        there: dict[Any, bool] = {}
        for row, why in keeping.decided(number):
            _count(told, row, why, keeping)
            there[row["triplet"]] = there.get(row["triplet"], False) or why is None
            told.shown[why is None].offer(row, number, why)
        told.triplets += len(there)
        told.kept_triplets += sum(there.values())
        told.reasons.update(keeping.scores.marker(number).counts)
    return told


def _count(told: Summary, row: Row, why: str | None, keeping: Keeping) -> None:
    kind = str(row.get("kind") or "no kind")
    told.pairs += 1
    told.kinds[kind] += 1
    passes = [gate.passes(row) for gate in keeping.gates]
    for gate, passed in zip(keeping.gates, passes, strict=True):
        told.passed[str(gate), kind] += passed
    told.passed_all[kind] += all(passes)
    if why is None:
        told.kept[kind] += 1
    else:
        told.reasons[why] += 1
    for name, value in row.items():
        if name not in _NOT_SCORES:
            told.spreads.setdefault(name, spread_of(name)).add(value)


def report_page(data: Path, told: Summary, keeping: Keeping) -> bytes:
    """The HTML page. data: the dataset's folder."""
    facts = {
        "measure": told.measure + (" (no CLIP: it knows nothing of the words)" if told.measure == "offline" else ""),
        "pairs": told.pairs,
        "kept": f"{told.kept.total()} ({told.kept.total() / max(1, told.pairs):.1%})",
        "triplets with a kept pair": f"{told.kept_triplets} of {told.triplets}",
        "at most of a triplet": keeping.keep,
    }
    rates = [[row[0], *(f"{share:.1%}" for share in row[1:])] for row in told.rates()]
    dropped = [[why, str(count)] for why, count in told.reasons.most_common()]
    tables = [
        Table(title="Share that passes", head=told.head(), rows=rates),
        Table(title="Dropped", head=["reason", "pairs"], rows=dropped),
    ]
    histograms = []
    for name, spread in told.spreads.items():
        low, high, heights = spread.histogram()
        bounds = [gate.bound for gate in keeping.gates if gate.score == name]
        said = ", ".join(str(gate) for gate in keeping.gates if gate.score == name)
        label = f"{name}: {low:.2f} to {high:.2f}, half below {spread.quantile(0.5)}" + (f"; {said}" if said else "")
        histograms.append(Histogram(label=label, low=low, high=high, heights=heights, bounds=bounds))
    sections = {title: told.shown[kept].cards(data) for title, kept in (("Kept", True), ("Dropped", False))}
    return pairs_page("What the filter did", sections, facts=facts, tables=tables, histograms=histograms)


class _Drawn:
    """SHOWN rows out of all, the same at every run: those whose keys' hashes are smallest."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, str, int, str, Row]] = []

    def offer(self, row: Row, number: int, why: str | None) -> None:
        """Take part in the draw. number: of the row's shard."""
        key = str(row["key"])
        rank = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
        if len(self._rows) == SHOWN and -rank <= self._rows[0][0]:
            return
        heapq.heappush(self._rows, (-rank, key, number, why or "", row))
        if len(self._rows) > SHOWN:
            heapq.heappop(self._rows)

    def cards(self, data: Path) -> list[Card]:
        """The pairs with their pictures."""
        wanted = {key: (why, row) for _, key, _, why, row in self._rows}
        found: dict[str, Card] = {}
        for number in sorted({number for _, _, number, _, _ in self._rows}):
            pairs = data_pairs(data, [number], all_pairs=True)
            for index in range(len(pairs)):
                key = str(pairs.row(index)["key"])
                if key in wanted:
                    why, scores = wanted[key]
                    facts = {name: value for name, value in scores.items() if name not in ("key", "triplet")}
                    found[key] = Card(sample=pairs.sample(index), why=why, facts=facts)
        return [found[key] for _, key, *_ in sorted(self._rows, reverse=True) if key in found]
