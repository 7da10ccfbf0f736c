"""Triplets: caption, instruction, edited caption; by a grammar or by language models."""

from ip2p_cli.datagen.triplets.settings import EndpointConfig, TripletSettings
from ip2p_cli.datagen.triplets.write import triplet_stage, write_triplets

__all__ = ["EndpointConfig", "TripletSettings", "triplet_stage", "write_triplets"]
