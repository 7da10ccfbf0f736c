"""Work over many photos: items, plan, manifest, runner. Knows nothing of models or edits."""
