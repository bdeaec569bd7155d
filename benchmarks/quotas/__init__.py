"""A simulator of quotas, for choosing how calls are paced: `python -m benchmarks.quotas`."""
