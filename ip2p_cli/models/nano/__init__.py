"""nano: the small InstructPix2Pix model in the package."""
