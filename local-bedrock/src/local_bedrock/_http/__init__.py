"""The server: connections, requests, signatures, faults on the wire."""
