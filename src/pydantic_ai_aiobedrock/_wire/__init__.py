"""The wire, without I/O: bytes to events and dicts, and back."""
