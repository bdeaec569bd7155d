"""The script of an endpoint: the replies and faults that tests set, and the requests that they meet."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Any, TypeVar, cast

from local_bedrock._arguments import (
    CHANCE,
    COUNT,
    FUNCTION,
    INTEGER,
    MODEL,
    NTH,
    Arguments,
    is_collection,
    is_function,
    one_of,
    optional,
    satisfying,
)
from local_bedrock._http.handler import Handler
from local_bedrock._s3.objects import ObjectStore
from local_bedrock.errors import ErrorReply
from local_bedrock.faults import FailConnection, Fault
from local_bedrock.quotas import Throttle
from local_bedrock.replies import AnyReply, EventsReply, RawReply, Reply, ReplyFunction, generates_text
from local_bedrock.requests import LocalBedrockStats, Operation, RecordedRequest
from local_bedrock.routing import OPERATIONS, RUNTIME_OPERATIONS, RuntimeOperation
from local_bedrock.rules import Rule, Script

F = TypeVar('F', bound=Fault)


def _is_reply(value: object) -> bool:
    if isinstance(value, str | Reply | ErrorReply | EventsReply | RawReply):
        return True
    return callable(value) and not isinstance(value, type)


def _is_fault(value: object) -> bool:
    # A class such as NoResponse is callable, and does nothing.
    return isinstance(value, ErrorReply | FailConnection) or (is_function(value) and not isinstance(value, type))


def _numbers(nth: Any) -> Any:
    """Return a collection of numbers as a list; the two ends stand for a range, which may be endless."""
    if isinstance(nth, range):
        return [nth[0], nth[-1]] if nth else []
    return list(nth) if is_collection(nth, object) else nth


_REPLY = Arguments(
    'LocalBedrock.reply',
    {
        'replies': satisfying(
            lambda value: all(map(_is_reply, value)),
            'replies, each a text, Reply, EventsReply, RawReply, ErrorReply or a function of the request',
        ),
        'model': optional(MODEL),
        'operation': optional(one_of(*RUNTIME_OPERATIONS)),
        'when': optional(FUNCTION),
        'times': optional(COUNT),
    },
)
_FAULT = Arguments(
    'LocalBedrock.fault',
    {
        'fault': satisfying(
            _is_fault, 'an error such as THROTTLING, a fault such as NoResponse(), or a function of a Response'
        ),
        'nth': optional(NTH),
        'model': optional(MODEL),
        'operation': optional(one_of(*OPERATIONS)),
        'when': optional(FUNCTION),
        'probability': CHANCE,
        'seed': optional(INTEGER),
        'times': optional(COUNT),
    },
)


class Scripted:
    """An endpoint as tests script and observe it."""

    _handler: Handler

    def reply(
        self,
        *replies: AnyReply | ReplyFunction,
        model: str | Callable[[str], bool] | None = None,
        operation: RuntimeOperation | None = None,
        when: Callable[[RecordedRequest], bool] | None = None,
        times: int | None = 1,
    ) -> list[Rule[AnyReply | ReplyFunction]]:
        """Script replies: each request is answered by the first that is for it, in the order in which they were given.

        Args:
            replies: The answers. A function is called with the request and returns the reply, or yields the events
                of a stream if it is an async generator.
            model: Only for requests to this model id, or to those for which the function returns True.
            operation: Only for requests of this operation. Errors and raw replies are for any where not given, all
                others for each operation that generates text: Converse and InvokeModel, streamed or not.
            when: Only for requests of which the function says so.
            times: How many requests each reply answers; `None` is any number.

        Returns:
            The rules, which count their uses and can be removed.

        Raises:
            ValueError: An argument is wrong.
        """
        _REPLY.check(locals())
        script = self._handler.runtime.script
        return [
            script.add(
                Rule(
                    action=reply,
                    model=model,
                    operations=None if operation is None else (operation,),
                    text_only=operation is None and generates_text(reply),
                    when=when,
                    times=times,
                )
            )
            for reply in replies
        ]

    def fault(
        self,
        fault: F,
        *,
        nth: int | Collection[int] | None = None,
        model: str | Callable[[str], bool] | None = None,
        operation: Operation | None = None,
        when: Callable[[RecordedRequest], bool] | None = None,
        probability: float = 1.0,
        seed: int | None = None,
        times: int | None = None,
    ) -> Rule[F]:
        """Let a fault happen to some requests; scripted replies answer the others.

        An error and no response at all use no reply up; a change of an answer applies to the reply that is next.

        Args:
            fault: An error that is answered instead of a reply, a change of the answer, or the failure of a connection.
            nth: The requests to which it happens, counted from 1 among those that the other conditions name; the
                connections, if it is the failure of a connection.
            model: Only to requests to this model id, or to those for which the function returns True.
            operation: Only to requests of this operation.
            when: Only to requests of which the function says so.
            probability: The chance that it happens.
            seed: Seed of that chance; the endpoint's own where not given.
            times: How often it happens at most.

        Returns:
            The rule, which counts its uses and can be removed.

        Raises:
            ValueError: An argument is wrong, or the failure of a connection is made to depend on a request.
        """
        _FAULT.check({**locals(), 'nth': _numbers(nth)})
        rule = Rule(
            action=fault,
            nth={nth} if isinstance(nth, int) else nth,
            model=model,
            operations=None if operation is None else (operation,),
            when=when,
            probability=probability,
            chance=random.Random(self._handler.runtime.manner.seed if seed is None else seed),
            times=times,
        )
        if not isinstance(fault, FailConnection):
            return cast('Script[F]', self._handler.faults).add(rule)
        if not model is operation is when is None:
            raise ValueError('A connection fails before it has a request: leave out model, operation and when.')
        return cast('Script[F]', self._handler.connection_faults).add(rule)

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests so far, in order of arrival."""
        return self._handler.requests

    @property
    def failures(self) -> list[Exception]:
        """Exceptions that functions of replies, conditions and faults have raised."""
        return self._handler.runtime.failures

    @property
    def throttles(self) -> list[Throttle]:
        """The requests that quotas have refused, in order: the latest 100,000."""
        return list(self._handler.runtime.quotas.throttles)

    def stats(self) -> LocalBedrockStats:
        """Return the counts of this moment."""
        return self._handler.stats()

    @property
    def objects(self) -> ObjectStore:
        """Objects stored in S3."""
        return self._handler.objects
