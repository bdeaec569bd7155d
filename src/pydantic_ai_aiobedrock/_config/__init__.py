"""Arguments, environment and AWS configuration, resolved without opening a client."""
