"""Training of InstructPix2Pix models."""
