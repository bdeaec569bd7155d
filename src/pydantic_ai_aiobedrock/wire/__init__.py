"""The Converse wire format: bytes to events, dicts to JSON bodies, and the hooks that put both into a session."""
