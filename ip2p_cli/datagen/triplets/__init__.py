"""Triplets: caption, instruction, edited caption; by a grammar or by language models."""

from ip2p_cli.datagen.triplets.stage import EndpointConfig, TripletSettings, WriteTriplets, triplet_tasks

__all__ = ["EndpointConfig", "TripletSettings", "WriteTriplets", "triplet_tasks"]
