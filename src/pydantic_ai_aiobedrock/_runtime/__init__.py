"""Bedrock's operations as coroutines: lease a client, send, read."""
