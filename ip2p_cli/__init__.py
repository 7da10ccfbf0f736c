"""Edit photos from written instructions: InstructPix2Pix as a command-line tool."""

__version__ = "0.1.0"
