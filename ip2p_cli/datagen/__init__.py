"""Makes training data. The stages are functions that yield their shards while they write them."""

from ip2p_cli.datagen.captions import CaptionSettings, source_of, write_captions
from ip2p_cli.datagen.stages import WorkerConfig
from ip2p_cli.datagen.triplets import EndpointConfig, TripletSettings, write_triplets

__all__ = [
    "CaptionSettings",
    "EndpointConfig",
    "TripletSettings",
    "WorkerConfig",
    "source_of",
    "write_captions",
    "write_triplets",
]
