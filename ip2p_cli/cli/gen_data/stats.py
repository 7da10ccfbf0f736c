"""`ip2p gen-data stats PATH`: what a dataset holds."""

from __future__ import annotations

from typing import Any

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.gen_data import options as own
from ip2p_cli.cli.gen_data.tables import table_text
from ip2p_cli.cli.output import Output
from ip2p_cli.folders import expand_home
from ip2p_cli.io.names import printable


def stats(path: own.DataSet, json: opt.Json = False, quiet: opt.Quiet = False, debug: opt.Debug = False) -> None:
    """Count pairs, kinds, scores, sizes and dropped rows of a dataset's folder or of any export."""
    from ip2p_cli.datagen.stats import stats_of

    output = Output(json=json, quiet=quiet)
    counts = stats_of(expand_home(path))
    output.data(_text(counts), counts)


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
