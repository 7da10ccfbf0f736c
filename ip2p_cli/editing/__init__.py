"""What happens to one photo: edits through the denoise loop, chains of them, choosing, files, replay."""
