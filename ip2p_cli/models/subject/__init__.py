"""A small network of our own that finds the subject of a photo."""
