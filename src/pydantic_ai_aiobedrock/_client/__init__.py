"""A signed client and its transport; loaded off the event loop by the first call."""
