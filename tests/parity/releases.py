"""The releases of pydantic-ai from which on upstream does what a case is about; the others begin with 2.33.

Each is the first release that was looked at and has it: those between it and the one before it may have it too.
"""

NETWORK_ERRORS = '2.45.0'
"""What the network does before the answer is a `ModelAPIError`."""

BROKEN_ANSWERS = '2.55.0'
"""So is what breaks an answer or an event stream, and one input's error is that of many embeddings."""

CACHE = '2.55.0'
"""The unified `cache` setting."""

DEADLINES = '2.58.0'
"""The `request_timeout` setting."""

ABANDONED = '2.64.0'
"""A request whose deadline has passed is left at once; before, upstream waits for its thread and says what that met."""

CATEGORIES = '2.60.0'
"""Errors tell by their class what went wrong, such as `ModelConnectionError`."""

CITATIONS = '2.62.0'
"""The `citations` setting."""

FIRST_EVENT = '2.64.0'
"""The `first_event_timeout` setting."""
