"""Files: images, recipes, shards."""
