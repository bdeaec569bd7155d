"""Pieces that several rows share: threads for blocking work, turns of the event loop, metrics."""
