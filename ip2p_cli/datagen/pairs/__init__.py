"""Pairs: from triplets to pictures before and after, by interchangeable painters."""
