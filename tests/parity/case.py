"""The columns of the table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .sides import Side

Program = Callable[[Side], Awaitable[Any]]
"""What a case does on a side. What it returns, or raises, is compared."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row.

    Attributes:
        name: What the row is about.
        program: What is run on each side.
        replies: What LocalBedrock answers to each side, in turn; its default model answers the rest.
        faults: What happens to each answer, or to those of which LocalBedrock's conditions beside it say so.
        rounds: How many times the program goes through the replies.
        since: The release of pydantic-ai that the case begins with: see `releases`.
        needs: The member of Bedrock's service model, as `Shape.member`, without which boto3 cannot send, or read, what
            the case is about.
        environment: Environment variables. `$base_url` and the other fields of the endpoint are filled in.
        tls: Whether the endpoint serves HTTPS, without which current SDKs send no API key.
        sts: Whether what is asked of the Security Token Service at `$sts_url` is compared.
        config: Content of the AWS configuration file, filled in likewise.
        credentials: Content of the AWS credentials file, filled in likewise.
        own_words: Whether errors say what the HTTP library below says, or name things in no order: then what they say
            is not compared.
        in_order: Whether the order of the requests is compared too.
        upstream: For a row that differs on purpose, what upstream does, in short.
        ours: For a row that differs on purpose, what this package does, in short.
    """

    name: str
    program: Program
    replies: Sequence[Any] = ()
    faults: Sequence[Any] = ()
    rounds: int = 1
    since: str = '2.33.0'
    needs: str = ''
    environment: Mapping[str, str] = field(default_factory=dict)
    tls: bool = False
    sts: bool = False
    config: str = ''
    credentials: str = ''
    own_words: bool = False
    in_order: bool = True
    upstream: str = ''
    ours: str = ''

    def __str__(self) -> str:
        return self.name
