"""`ip2p gen-data stats PATH`: what a dataset holds."""

from __future__ import annotations

from typing import Any

from ip2p_cli.cli.flags import CommonFlags, takes_flags
from ip2p_cli.cli.gen_data import flags as gen
from ip2p_cli.cli.gen_data.tables import table_text
from ip2p_cli.cli.output import Output
from ip2p_cli.folders import expand_home
from ip2p_cli.io.names import printable


@takes_flags
def stats(path: gen.DataSet, common: CommonFlags) -> None:
    """Count pairs, kinds, scores, sizes and dropped rows of a dataset's folder or of any export."""
    from ip2p_cli.datagen.stats import stats_of

    counts = stats_of(expand_home(path))
    Output(json=common.json, quiet=common.quiet).data(_text(counts), counts)


def _text(counts: dict[str, Any]) -> str:
    from ip2p_cli.datagen.stats import QUANTILES

    parts = []
    if "stages" in counts:
        rows = [
            [name, str(stage["shards"]), str(stage["rows"]), f"{stage['bytes'] / 1e6:.1f}", _listed(stage["dropped"])]
            for name, stage in counts["stages"].items()
        ]
        parts.append(table_text(["stage", "shards", "rows", "MB", "dropped"], rows))
    if "pairs" in counts:
        facts = {
            "layout": counts["layout"],
            "pairs": _listed(counts["pairs"]),
            "triplets": counts["triplets"],
            "kinds": _listed(counts["kinds"]),
            "kB a pair": f"{counts['sizes']['bytes_a_pair'] / 1e3:.1f}",
            "sizes": _listed(counts["sizes"]["pixels"]),
        }
        parts.append("\n".join(f"{name:10} {value}" for name, value in facts.items()))
    if counts.get("scores"):
        rows = [[name, *(f"{value:.3f}" for value in values)] for name, values in counts["scores"].items()]
        parts.append(table_text(["score", *(f"{share:.0%}" for share in QUANTILES)], rows))
    return "\n\n".join(parts)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {printable(name)}" for name, count in counts.items()) or "-"
