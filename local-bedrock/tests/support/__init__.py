"""Requests, and stand-ins for AWS, that many tests share."""
