"""Tensors in, tensors out: guidance, sampling, editing, loss, detail."""
