"""Pairs: paint pictures before and after from triplets, with one of several painters."""
