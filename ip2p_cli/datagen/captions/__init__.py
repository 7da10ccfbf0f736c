"""Captions: read from anywhere, cleaned, each once, in numbered shards."""

from ip2p_cli.datagen.captions.stage import CaptionSettings, caption_shards

__all__ = ["CaptionSettings", "caption_shards"]
