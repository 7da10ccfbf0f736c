"""Which models there are, where their files are, and how they are loaded."""
