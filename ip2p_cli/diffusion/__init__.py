"""Diffusion on tensors: guidance, samplers, the denoising loop, training loss, return to full size."""
