"""`ip2p gen-data stats PATH`: what a dataset holds."""

from __future__ import annotations

from typing import Any

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.gen_data import options as own
from ip2p_cli.cli.output import Output


def stats(path: own.DataSet, json: opt.Json = False, quiet: opt.Quiet = False, debug: opt.Debug = False) -> None:
    """Count pairs, kinds, scores, sizes, and what each stage dropped: of a dataset's folder or of any export."""
    from ip2p_cli.datagen.stats import stats_of

    output = Output(json=json, quiet=quiet)
    found = stats_of(path.expanduser())
    output.data(_text(found), found)


def _text(found: dict[str, Any]) -> str:
    from ip2p_cli.cli.gen_data.tables import table_text
    from ip2p_cli.datagen.stats import QUANTILES

    parts = []
    if "stages" in found:
        rows = [
            [name, str(one["shards"]), str(one["rows"]), f"{one['bytes'] / 1e6:.1f}", _counted(one["dropped"])]
            for name, one in found["stages"].items()
        ]
        parts.append(table_text(["stage", "shards", "rows", "MB", "dropped"], rows))
    if "pairs" in found:
        facts = [
            ["layout", found["layout"]],
            ["pairs", _counted(found["pairs"])],
            ["triplets", str(found["triplets"])],
            ["kinds", _counted(found["kinds"])],
            ["kB a pair", f"{found['sizes']['bytes_a_pair'] / 1e3:.1f}"],
            ["sizes", _counted(found["sizes"]["pixels"])],
        ]
        parts.append("\n".join(f"{name:10} {value}" for name, value in facts))
    if found.get("scores"):
        rows = [[name, *(f"{value:.3f}" for value in values)] for name, values in found["scores"].items()]
        parts.append(table_text(["score", *(f"{share:.0%}" for share in QUANTILES)], rows))
    return "\n\n".join(parts)


def _counted(counts: dict[str, int]) -> str:
    from ip2p_cli.io.names import printable

    return ", ".join(f"{count} {printable(name)}" for name, count in counts.items()) or "-"
