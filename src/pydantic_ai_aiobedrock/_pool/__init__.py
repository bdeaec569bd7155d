"""Signed clients, shared by concurrent calls."""
