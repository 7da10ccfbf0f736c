"""Command line: parse, build a dataclass, call one workflow, print."""
