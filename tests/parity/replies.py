"""What LocalBedrock answers, for the table: its own vocabulary, where the endpoint runs.

The peer asks and does not answer, and has neither this package nor what it depends on: there, each name makes nothing.
"""

from importlib.util import find_spec

if find_spec('aiobotocore') is not None:
    from local_bedrock import *  # noqa: F403
else:

    def __getattr__(name):
        if name.startswith('__'):
            raise AttributeError(name)
        return _Nothing()

    class _Nothing:
        def __call__(self, *_, **__):
            return self

        def __getattr__(self, name):
            return self

        def __add__(self, other):
            return self
