"""How well nano does what its instructions say, on photos that were not trained on."""
