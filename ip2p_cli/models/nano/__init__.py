"""nano: the small InstructPix2Pix that ships inside the package."""
