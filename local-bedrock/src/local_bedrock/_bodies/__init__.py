"""Bodies of requests: access to the members of JSON, and their tokens."""
