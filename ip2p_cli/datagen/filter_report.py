"""Report on the filter: distributions of the scores, the share that passes each gate, some pairs kept and dropped."""

from __future__ import annotations

import bisect
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

from ip2p_cli.datagen.dataset.tars import data_pairs
from ip2p_cli.datagen.histogram import Distribution, Distributions
from ip2p_cli.datagen.selection import Gate, SelectPairs
from ip2p_cli.io.pairs_page import Card, Histogram, Table, pairs_page
from ip2p_cli.io.shards import Row

SHOWN = 24  # pairs kept, and as many dropped
_MAX_KINDS = 24


@dataclass(kw_only=True)
class Summary:
    """Counts of all scored pairs, in memory that does not grow with their number.

    Attributes:
        kinds: Pairs by kind of edit.
        passed: Pairs that pass a gate, pass "all gates" or are "kept", by kind.
        reasons: Dropped pairs by reason.
        examples: Some pairs that were kept (True) and dropped (False).
    """

    measure: str
    gates: Sequence[Gate]
    pairs: int = 0
    triplets: int = 0
    kept_triplets: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    passed: dict[str, Counter[str]] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    scores: Distributions = field(default_factory=Distributions)
    examples: dict[bool, _Examples] = field(default_factory=lambda: {True: _Examples(), False: _Examples()})

    def __post_init__(self) -> None:
        """List every gate, also those that no pair passes."""
        self.passed = {name: Counter() for name in (*map(str, self.gates), "all gates", "kept")}

    @property
    def kept(self) -> int:
        """How many pairs are kept."""
        return self.passed["kept"].total()

    def add(self, row: Row, shard: int, why: str | None) -> None:
        """Count a pair of a shard. `why`: the reason why it is dropped; None: it is kept."""
        kind = str(row.get("kind") or "no kind")
        self.pairs += 1
        self.kinds[kind] += 1
        passes = {str(gate): gate.passes(row) for gate in self.gates}
        for name, passed in {**passes, "all gates": all(passes.values()), "kept": why is None}.items():
            self.passed[name][kind] += passed
        if why is not None:
            self.reasons[why] += 1
        self.scores.add_row(row)
        self.examples[why is None].offer(row, shard, why)

    def data(self) -> dict[str, Any]:
        """The counts and the `rates` as an object for --json."""
        return {
            "measure": self.measure,
            "pairs": self.pairs,
            "kept": self.kept,
            "triplets": self.triplets,
            "kept_triplets": self.kept_triplets,
            "dropped": dict(self.reasons.most_common()),
            "rates": self.rates(),
        }

    def rates(self) -> dict[str, dict[str, float]]:
        """For each key of `passed` the share of pairs, 0 to 1, in all and for the most frequent kinds."""
        kinds = self.kinds.most_common(_MAX_KINDS)
        return {
            name: {"all": round(counts.total() / max(1, self.pairs), 4)}
            | {kind: round(counts[kind] / total, 4) for kind, total in kinds}
            for name, counts in self.passed.items()
        }

    def table(self) -> Table:
        """The `rates` as a table of percentages."""
        rates = self.rates()
        rows = [[name, *(f"{share:.1%}" for share in shares.values())] for name, shares in rates.items()]
        return Table(title="Share that passes", head=["gate", *rates["kept"]], rows=rows)


def summarise(select: SelectPairs, numbers: Sequence[int], measured: Mapping[str, Any]) -> Summary:
    """Decide again about every pair of the shards with these numbers, and count.

    `measured`: the settings of the scores. Raises InputError if a shard cannot be read.
    """
    summary = Summary(measure=str(measured.get("measure")), gates=select.gates)
    for number in numbers:
        triplets: dict[Any, bool] = {}
        for row, why in select.decided(number):
            summary.add(row, number, why)
            triplets[row["triplet"]] = triplets.get(row["triplet"], False) or why is None
        summary.triplets += len(triplets)
        summary.kept_triplets += sum(triplets.values())
        summary.reasons.update(select.scores.marker(number).counts)
    return summary


def report_page(data: Path, summary: Summary, keep: int) -> bytes:
    """Write the report on the dataset's folder `data` as HTML. `keep`: pairs of a triplet that are kept at most."""
    offline = " (without CLIP: it knows nothing of the words)" if summary.measure == "offline" else ""
    facts = {
        "measure": summary.measure + offline,
        "pairs": summary.pairs,
        "kept": f"{summary.kept} ({summary.kept / max(1, summary.pairs):.1%})",
        "triplets with a kept pair": f"{summary.kept_triplets} of {summary.triplets}",
        "at most of a triplet": keep,
    }
    dropped = [[why, str(count)] for why, count in summary.reasons.most_common()]
    tables = [summary.table(), Table(title="Dropped", head=["reason", "pairs"], rows=dropped)]
    histograms = [_histogram(name, score, summary.gates) for name, score in summary.scores.items()]
    sections = {title: summary.examples[kept].cards(data) for title, kept in (("Kept", True), ("Dropped", False))}
    return pairs_page("Filter report", sections, facts=facts, tables=tables, histograms=histograms)


def _histogram(name: str, score: Distribution, gates: Sequence[Gate]) -> Histogram:
    gates = [gate for gate in gates if gate.score == name]
    low, high, heights = score.histogram()
    label = f"{name}: {low:.2f} to {high:.2f}, half below {score.quantile(0.5)}"
    label = "; ".join(filter(None, [label, ", ".join(map(str, gates))]))
    return Histogram(label=label, low=low, high=high, heights=heights, bounds=[gate.bound for gate in gates])


class _Examples:
    """SHOWN rows drawn from all, in each run the same: those whose keys have the smallest hashes."""

    def __init__(self) -> None:
        self._rows: list[tuple[bytes, str, int, str, Row]] = []

    def offer(self, row: Row, shard: int, why: str | None) -> None:
        """Let a row take part in the draw."""
        key = str(row["key"])
        digest = hashlib.sha256(key.encode()).digest()
        bisect.insort(self._rows, (digest, key, shard, why or "", row), key=itemgetter(0))
        del self._rows[SHOWN:]

    def cards(self, data: Path) -> list[Card]:
        """The drawn pairs with their pictures."""
        rows = {key: (why, row) for _, key, _, why, row in self._rows}
        cards: dict[str, Card] = {}
        for shard in sorted({shard for _, _, shard, _, _ in self._rows}):
            pairs = data_pairs(data, [shard], all_pairs=True)
            for index in range(len(pairs)):
                key = str(pairs.row(index)["key"])
                if key in rows:
                    why, scores = rows[key]
                    facts = {name: value for name, value in scores.items() if name not in ("key", "triplet")}
                    cards[key] = Card(sample=pairs.sample(index), why=why, facts=facts)
        return [cards[key] for key in rows if key in cards]
