"""Triplets: caption, instruction, edited caption; by a grammar or by language models."""

from .stage import Access, TripletSettings, WriteTriplets, triplet_tasks

__all__ = ["Access", "TripletSettings", "WriteTriplets", "triplet_tasks"]
