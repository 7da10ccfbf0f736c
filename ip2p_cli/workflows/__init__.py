"""The verbs: edit, train. They yield results and print nothing."""
