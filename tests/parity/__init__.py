"""The same program with upstream's classes and with this package's: the same requests, results and errors.

`cases_*.py` hold the table, one case a line; `test_parity.py` runs it. Upstream runs in this process, or in a *peer*:
an interpreter with the same pydantic-ai and a current boto3, which `PARITY_PEER_PYTHON` names.
"""
