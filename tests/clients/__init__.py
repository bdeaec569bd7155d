"""Other people's clients of Bedrock against LocalBedrock: `nox -s clients`.

Each runs in an environment of its own, in which it is alone with what it needs, and this package is not. What they say
to the endpoint, and have to be told by it, is the same for all.
"""
