"""What pip and uv install beside other clients of AWS, and what it costs: `nox -s resolve`."""
