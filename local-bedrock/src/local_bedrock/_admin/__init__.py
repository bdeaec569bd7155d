"""The admin API: replies, faults, quotas and the requests seen, over HTTP and in JSON, for tests in any language."""
