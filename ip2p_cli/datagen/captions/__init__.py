"""Captions: read from anywhere, cleaned, each one once, in numbered shards."""

from ip2p_cli.datagen.captions.sources import Source, source_of
from ip2p_cli.datagen.captions.write import CaptionSettings, write_captions

__all__ = ["CaptionSettings", "Source", "source_of", "write_captions"]
