"""`ip2p gen-data`: the paper's data generation, a command for each stage."""
