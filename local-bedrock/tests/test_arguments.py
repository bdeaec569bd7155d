"""Arguments that are wrong: each is refused when it is given, by a sentence that names it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest
from support.requests import NOVA, Post

from local_bedrock import (
    ACCESS_DENIED,
    THROTTLING,
    ErrorReply,
    EventsReply,
    FailConnection,
    FlipBit,
    InsertEvent,
    LocalBedrock,
    NoResponse,
    OversizedFrame,
    Quota,
    RawReply,
    Reply,
    Response,
    SlowBody,
    SlowHeaders,
    ToolCall,
    Truncate,
    WrongChecksum,
    exception_event,
)


def refusal(make: Callable[..., Any], *args: Any, **arguments: Any) -> str:
    with pytest.raises(ValueError, match=r'\.$') as caught:
        make(*args, **arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    ('fault', 'arguments', 'message'),
    [
        (Truncate, {'at': -2}, 'Truncate(at=-2): must be greater than or equal to -1.'),
        (
            Truncate,
            {'at': 1, 'then': 'explode'},
            "Truncate(then='explode'): must be 'end', 'close', 'reset' or 'hang'.",
        ),
        (NoResponse, {'then': 'end'}, "NoResponse(then='end'): must be 'reset', 'close' or 'hang'."),
        (SlowHeaders, {'interval': -0.1}, 'SlowHeaders(interval=-0.1): must be greater than or equal to 0.'),
        (SlowBody, {'interval': '1'}, "SlowBody(interval='1'): must be a valid number."),
        (SlowBody, {'interval': 1, 'piece_size': 0}, 'SlowBody(piece_size=0): must be greater than or equal to 1.'),
        (FlipBit, {'at': 'x'}, "FlipBit(at='x'): must be a valid integer."),
        (FlipBit, {'at': 0, 'piece': -1}, 'FlipBit(piece=-1): must be greater than or equal to 0.'),
        (WrongChecksum, {'event': True}, 'WrongChecksum(event=True): must be a valid integer.'),
        (WrongChecksum, {'of': 'body'}, "WrongChecksum(of='body'): must be 'message' or 'prelude'."),
        (
            InsertEvent,
            {'event': {'messageStop': {}}},
            "InsertEvent(event={'messageStop': {}}): must be a StreamEvent, or the bytes of a frame.",
        ),
        (InsertEvent, {'event': b'', 'after': -1}, 'InsertEvent(after=-1): must be greater than or equal to 0.'),
        (exception_event, {'name': 5}, 'exception_event(name=5): must be a valid string.'),
        (
            exception_event,
            {'name': 'throttlingException', 'after': -1},
            'exception_event(after=-1): must be greater than or equal to 0.',
        ),
        (OversizedFrame, {'size': 2**32}, 'OversizedFrame(size=4294967296): must be less than or equal to 4294967096.'),
        (OversizedFrame, {'sent': -1}, 'OversizedFrame(sent=-1): must be greater than or equal to 0.'),
        (FailConnection, {'then': 'x'}, "FailConnection(then='x'): must be 'reset', 'close', 'hang' or 'alert'."),
        (
            RawReply,
            {'body': b'x', 'chunk_sizes': (4, 0)},
            'RawReply(chunk_sizes=(4, 0)): must be greater than or equal',
        ),
    ],
)
def test_a_fault_refuses_a_wrong_argument(fault: Callable[..., Any], arguments: Any, message: str) -> None:
    assert refusal(fault, **arguments).startswith(message)


MAPPINGS = 'must be a list of mappings.'
EVENTS = 'must be a list of events, each a StreamEvent, a mapping or the bytes of a frame.'
HEADERS = 'must be a mapping of names to values, both text without line breaks.'
SECONDS = 'must be seconds, as a number or a list of numbers.'


@pytest.mark.parametrize(
    ('reply', 'arguments', 'message'),
    [
        (Reply, {'text': 5}, 'Reply(text=5): must be a valid string.'),
        (Reply, {'redacted_thinking': 'x'}, "Reply(redacted_thinking='x'): must be bytes."),
        (Reply, {'citations': {'title': 'x'}}, f"Reply(citations={{'title': 'x'}}): {MAPPINGS}"),
        (Reply, {'tool_calls': ToolCall('x')}, "Reply(tool_calls=ToolCall(name='x', "),
        (Reply, {'tool_calls': ['x']}, "Reply(tool_calls=['x']): must be a list of ToolCall."),
        (Reply, {'content': {'text': 'x'}}, f"Reply(content={{'text': 'x'}}): {MAPPINGS}"),
        (Reply, {'usage': None}, 'Reply(usage=None): must be a mapping.'),
        (Reply, {'chunks': 'abc'}, "Reply(chunks='abc'): must be a list of text."),
        (Reply, {'chunks': ['a', 1]}, "Reply(chunks=['a', 1]): must be a list of text."),
        (Reply, {'headers': {'x': 1}}, f"Reply(headers={{'x': 1}}): {HEADERS}"),
        (Reply, {'headers': [('x', 'y')]}, f"Reply(headers=[('x', 'y')]): {HEADERS}"),
        (Reply, {'headers': {'x': 'y\r\nz: 1'}}, f"Reply(headers={{'x': 'y\\r\\nz: 1'}}): {HEADERS}"),
        (Reply, {'delay_before': -1}, 'Reply(delay_before=-1): must be greater than or equal to 0.'),
        (Reply, {'delay_per_event': '1'}, f"Reply(delay_per_event='1'): {SECONDS}"),
        (Reply, {'delay_per_event': [1, -1]}, f'Reply(delay_per_event=[1, -1]): {SECONDS}'),
        (Reply, {'tokens_per_second': 0}, 'Reply(tokens_per_second=0): must be greater than 0.'),
        (ToolCall, {'name': 1}, 'ToolCall(name=1): must be a valid string.'),
        (ToolCall, {'name': 'x', 'input': [1]}, 'ToolCall(input=[1]): must be a mapping, or text.'),
        (EventsReply, {'events': {'messageStop': {}}}, f"EventsReply(events={{'messageStop': {{}}}}): {EVENTS}"),
        (EventsReply, {'events': ['x']}, f"EventsReply(events=['x']): {EVENTS}"),
        (EventsReply, {'events': iter([b''])}, 'EventsReply(events=<list_iterator object at '),
        (EventsReply, {'events': [], 'truncate_at': -2}, 'EventsReply(truncate_at=-2): must be greater than or equal'),
        (EventsReply, {'events': [], 'then': 'x'}, "EventsReply(then='x'): must be 'end', 'close', 'reset' or 'hang'."),
        (RawReply, {'body': '{}'}, "RawReply(body='{}'): must be bytes."),
        (RawReply, {'body': b'', 'status': '200'}, "RawReply(status='200'): must be a valid integer."),
        (ErrorReply, {'status': '429'}, "ErrorReply(status='429'): must be a valid integer."),
        (ErrorReply, {'status': 204}, 'ErrorReply(status=204): must be greater than or equal to 300.'),
        (ErrorReply, {'code': None}, 'ErrorReply(code=None): must be a valid string.'),
        (ErrorReply, {'message': b'x'}, "ErrorReply(message=b'x'): must be a valid string."),
        (ErrorReply, {'headers': {'Retry-After': 1}}, f"ErrorReply(headers={{'Retry-After': 1}}): {HEADERS}"),
        (ErrorReply, {'origin': 'x'}, "ErrorReply(origin='x'): must be 'bedrock' or 'front'."),
    ],
)
def test_a_reply_refuses_a_wrong_argument(reply: Callable[..., Any], arguments: Any, message: str) -> None:
    needed = {'status': 500, 'code': 'X', 'message': ''} if reply is ErrorReply else {}
    assert refusal(reply, **needed | arguments).startswith(message)


def test_a_reply_takes_empty_collections_and_tuples() -> None:
    Reply(content=(), tool_calls=[], citations=[], chunks=[], usage={}, headers={}, delay_per_event=())
    Reply('ab', chunks=('a', 'b'), delay_per_event=(0, 0.5), content=({'text': 'ab'},))
    EventsReply((), delay_per_event=[])
    RawReply(b'', chunk_sizes=())
    ErrorReply(HTTPStatus.TOO_MANY_REQUESTS, '', '')


def test_a_fault_of_the_caller_keeps_the_checks_of_its_base() -> None:
    class Slower(SlowBody):
        def __call__(self, response: Response) -> None:
            super().__call__(response)
            response.header_interval = self.interval

    assert refusal(Slower, -1).startswith('SlowBody(interval=-1): must be greater than or equal to 0.')


async def coroutine_function(_: object) -> bool:
    return True


COUNTED = 'must be greater than or equal to 1.'
NTH = 'must be a number from 1 up, or a list of them.'
FAULTS = 'must be an error such as THROTTLING, a fault such as NoResponse(), or a function of a Response.'
FUNCTION = 'must be a function, and no coroutine function.'
MODELS = 'must be a model id, or a function of it that returns a bool.'


@pytest.mark.parametrize(
    ('fault', 'conditions', 'message'),
    [
        ('throttle', {}, f"LocalBedrock.fault(fault='throttle'): {FAULTS}"),
        (NoResponse, {}, f"LocalBedrock.fault(fault=<class 'local_bedrock.faults.NoResponse'>): {FAULTS}"),
        (Reply('x'), {}, 'LocalBedrock.fault(fault=Reply('),
        (coroutine_function, {}, 'LocalBedrock.fault(fault=<function coroutine_function at '),
        (
            ACCESS_DENIED,
            {'operation': 'X'},
            "LocalBedrock.fault(operation='X'): must be 'ApplyGuardrail', 'Converse', ",
        ),
        (THROTTLING, {'nth': 0}, f'LocalBedrock.fault(nth=0): {NTH}'),
        (THROTTLING, {'nth': []}, f'LocalBedrock.fault(nth=[]): {NTH}'),
        (THROTTLING, {'nth': range(0)}, f'LocalBedrock.fault(nth=[]): {NTH}'),
        (THROTTLING, {'nth': range(3)}, f'LocalBedrock.fault(nth=[0, 2]): {NTH}'),
        (THROTTLING, {'nth': '12'}, f"LocalBedrock.fault(nth='12'): {NTH}"),
        (THROTTLING, {'times': 0}, f'LocalBedrock.fault(times=0): {COUNTED}'),
        (THROTTLING, {'probability': 20}, 'LocalBedrock.fault(probability=20): must be less than or equal to 1.'),
        (THROTTLING, {'seed': 'x'}, "LocalBedrock.fault(seed='x'): must be a valid integer."),
        (THROTTLING, {'model': 1}, f'LocalBedrock.fault(model=1): {MODELS}'),
        (THROTTLING, {'when': 'hello'}, f"LocalBedrock.fault(when='hello'): {FUNCTION}"),
        (FailConnection(), {'nth': -1}, f'LocalBedrock.fault(nth=-1): {NTH}'),
    ],
)
def test_a_fault_that_would_never_happen_is_refused(fault: Any, conditions: Any, message: str) -> None:
    bedrock = LocalBedrock()
    assert refusal(bedrock.fault, fault, **conditions).startswith(message)


async def test_a_fault_may_happen_to_all_requests_but_the_first(bedrock: LocalBedrock, post: Post) -> None:
    bedrock.fault(THROTTLING, nth=range(2, sys.maxsize))
    assert [(await post('converse'))[0] for _ in range(3)] == [200, 429, 429]


REPLIES = 'must be replies, each a text, Reply, EventsReply, RawReply, ErrorReply or a function of the request.'


@pytest.mark.parametrize(
    ('replies', 'conditions', 'message'),
    [
        ([5], {}, f'LocalBedrock.reply(replies=(5,)): {REPLIES}'),
        (['x', Reply], {}, "LocalBedrock.reply(replies=('x', <class"),
        (['S'], {'operation': 'converse'}, "LocalBedrock.reply(operation='converse'): must be 'ApplyGuardrail', "),
        (['S'], {'operation': 'GetObject'}, "LocalBedrock.reply(operation='GetObject'): must be 'ApplyGuardrail', "),
        (['S'], {'times': -1}, f'LocalBedrock.reply(times=-1): {COUNTED}'),
        (['S'], {'model': 1}, f'LocalBedrock.reply(model=1): {MODELS}'),
        (['S'], {'when': 'hello'}, f"LocalBedrock.reply(when='hello'): {FUNCTION}"),
        (['S'], {'when': coroutine_function}, 'LocalBedrock.reply(when=<function coroutine_function at '),
    ],
)
def test_a_reply_that_would_never_be_used_is_refused(replies: Any, conditions: Any, message: str) -> None:
    bedrock = LocalBedrock()
    assert refusal(bedrock.reply, *replies, **conditions).startswith(message)


@pytest.mark.parametrize('method', ['expire', 'revoke'])
def test_expiring_or_revoking_nothing_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match=rf'LocalBedrock\.{method}\(\): name the API keys'):
        getattr(LocalBedrock(), method)()


@pytest.mark.parametrize('method', ['expire', 'revoke'])
def test_a_key_that_is_not_accepted_can_neither_expire_nor_be_revoked(method: str) -> None:
    bedrock = LocalBedrock(credentials={'AKIDMINE': 'mine'}, api_keys=['bedrock-api-key-of-the-test'])
    change = getattr(bedrock, method)
    mend = 'must be an API key that is accepted, or the id of such an access key; those are AKIDMINE.'
    assert refusal(change, 'nope') == f"LocalBedrock.{method}('nope'): {mend}"
    assert refusal(change, 'AKIDMINE', 'bedrock-api-key-of-another') == (
        f"LocalBedrock.{method}('bedrock-api-key-of-a...'): {mend}"
    )
    key = bedrock.accept('AKIDOTHER', 'a-secret-of-the-test')
    assert 'a-secret-of-the-test' not in refusal(change, key)
    # Nothing has changed.
    assert bedrock._handler.keyring.expired_access_keys == set()  # pyright: ignore[reportPrivateUsage]
    assert set(bedrock._handler.keyring.access_keys) == {'AKIDMINE', 'AKIDOTHER'}  # pyright: ignore[reportPrivateUsage]
    change('AKIDMINE', 'bedrock-api-key-of-the-test')


WHOLE = 'must be a valid integer.'
TEXTS = 'must be a list of text.'
QUOTAS = 'must be a list of Quota.'


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'host': 1}, 'host=1): must be a valid string.'),
        ({'port': -1}, 'port=-1): must be greater than or equal to 0.'),
        ({'port': 65_536}, 'port=65536): must be less than or equal to 65535.'),
        ({'port': '80'}, f"port='80'): {WHOLE}"),
        ({'region_name': ''}, "region_name=''): String should have at least 1 character."),
        ({'credentials': 'AKID:x'}, 'credentials=<str>): must be a mapping of access key ids to secrets.'),
        ({'credentials': {'AKID': 1}}, 'credentials=<dict>): must be a mapping of access key ids to secrets.'),
        ({'api_keys': 'a-secret'}, f'api_keys=<str>): {TEXTS}'),
        ({'models': NOVA}, f"models='{NOVA}'): {TEXTS}"),
        ({'buckets': 'abc'}, f"buckets='abc'): {TEXTS}"),
        ({'buckets': [1]}, f'buckets=[1]): {TEXTS}'),
        (
            {'s3_endpoint_url': 'minio:9000'},
            "s3_endpoint_url='minio:9000'): must be a URL that begins with http:// or ",
        ),
        ({'minimum_batch_records': -1}, 'minimum_batch_records=-1): must be greater than or equal to 0.'),
        ({'tls': True}, 'tls=True): must be an ssl.SSLContext of a server.'),
        ({'responder': 'Hello'}, "responder='Hello'): must be a function."),
        ({'latency': -1}, 'latency=-1): must be greater than or equal to 0.'),
        ({'latency': lambda: 1}, 'latency=<function <lambda> at '),
        ({'tokens_per_second': 0}, 'tokens_per_second=0): must be greater than 0.'),
        ({'tokens_per_second': -1}, 'tokens_per_second=-1): must be greater than 0.'),
        ({'clock': 1}, f'clock=1): {FUNCTION}'),
        ({'seed': '1'}, f"seed='1'): {WHOLE}"),
        ({'keep_requests': -1}, 'keep_requests=-1): must be greater than or equal to 0.'),
        ({'keep_requests': 'x'}, f"keep_requests='x'): {WHOLE}"),
        ({'keep_bytes': 1.5}, f'keep_bytes=1.5): {WHOLE}'),
        ({'max_body_bytes': 'x'}, f"max_body_bytes='x'): {WHOLE}"),
        ({'receive_timeout': 0}, 'receive_timeout=0): must be greater than 0.'),
        ({'quotas': Quota(burst=1, requests_per_second=1)}, 'quotas=Quota('),
        ({'quotas': ['*']}, f"quotas=['*']): {QUOTAS}"),
        ({'strict_models': 'no'}, "strict_models='no'): must be a valid boolean."),
    ],
)
def test_an_endpoint_refuses_a_wrong_setting(arguments: Any, message: str) -> None:
    assert refusal(LocalBedrock, **arguments).startswith(f'LocalBedrock({message}')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'requests_per_second': 'x'}, "Quota(requests_per_second='x'): must be a valid number."),
        ({'tokens_per_day': -1}, 'Quota(tokens_per_day=-1): must be greater than or equal to 0.'),
        ({'tokens_per_minute': float('inf')}, 'Quota(tokens_per_minute=inf): must be a finite number.'),
        ({'requests_per_second': 1, 'burst': 0.5}, 'Quota(burst=0.5): must be greater than or equal to 1.'),
        ({'requests_per_second': 1, 'model': 1}, f'Quota(model=1): {MODELS}'),
        ({'requests_per_second': 1, 'in_stream': 'x'}, "Quota(in_stream='x'): must be a valid boolean."),
        ({}, 'A Quota needs a limit: set at least one of requests_per_second, '),
    ],
)
def test_a_quota_refuses_a_wrong_argument(arguments: Any, message: str) -> None:
    assert refusal(Quota, **arguments).startswith(message)


def test_quotas_are_replaced_by_quotas() -> None:
    bedrock = LocalBedrock()
    quotas: Any = [Quota(requests_per_second=1)]
    assert re.fullmatch(
        r'LocalBedrock\.set_quotas\(quotas=\(\[Quota\(.*\)\],\)\): must be a list of Quota\.',
        refusal(bedrock.set_quotas, quotas),
    )
