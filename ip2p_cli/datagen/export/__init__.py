"""Export: the kept pairs of a dataset in a layout that others read, as their files' own bytes."""
