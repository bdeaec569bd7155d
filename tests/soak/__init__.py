"""Ten minutes of trouble at 200 concurrent runs: `nox -s soak`, or `python -m tests.soak [SECONDS]`.

LocalBedrock serves in another process, which is ended and started again from time to time. Meanwhile access keys and
API keys are rotated, runs are cancelled and streams left, and every tenth run meets a fault. Each run says in its
prompt what it is going to meet, so that both sides know what has to come of it: its own answer, or this error. Any
other answer is a wrong one, any other error one that is not explained, and either fails the soak. So does what grows:
file descriptors, tasks, threads and memory have to be flat once the first fifth of the time is over.
"""
