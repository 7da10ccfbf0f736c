"""Datasets of pairs, read back from any layout: by index, a pair at a time, with no picture kept in memory."""
