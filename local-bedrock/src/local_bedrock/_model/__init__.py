"""Models: validation, replies, and their rendering."""
