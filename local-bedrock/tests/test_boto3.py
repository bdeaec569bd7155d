"""boto3's plain client accepts what LocalBedrock answers."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import trustme
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError
from support.requests import CLAUDE, NOVA, MakeClient, tool, tool_result, user

from local_bedrock import (
    ACCESS_DENIED,
    INTERNAL_SERVER_ERROR,
    MODEL_ERROR,
    MODEL_NOT_READY,
    MODEL_TIMEOUT,
    SERVICE_UNAVAILABLE,
    THROTTLING,
    ErrorReply,
    EventsReply,
    LocalBedrock,
    Reply,
    StreamEvent,
    ToolCall,
)

WEATHER = tool('get_weather', {'type': 'object', 'properties': {'city': {'type': 'string'}}, 'required': ['city']})


def test_converse_answers_with_a_message(client: Any, served: LocalBedrock) -> None:
    response = client.converse(modelId=NOVA, messages=[user('How tall is Mont Blanc?')])
    assert response['output']['message']['role'] == 'assistant'
    assert 'How tall is Mont Blanc?' in response['output']['message']['content'][0]['text']
    assert response['stopReason'] == 'end_turn'
    usage = response['usage']
    assert usage['totalTokens'] == usage['inputTokens'] + usage['outputTokens'] > 0
    assert response['metrics']['latencyMs'] > 0
    metadata = response['ResponseMetadata']
    assert metadata['HTTPStatusCode'] == 200
    assert metadata['RequestId'] == served.requests[0].request_id
    assert served.requests[0].auth_scheme == 'sigv4'


def test_converse_stream_says_the_same_as_converse_in_events(client: Any) -> None:
    question: dict[str, Any] = {'modelId': NOVA, 'messages': [user('How tall is Mont Blanc?')]}
    whole = client.converse(**question)
    events = list(client.converse_stream(**question)['stream'])
    kinds = [next(iter(event)) for event in events]
    deltas = kinds.count('contentBlockDelta')
    assert deltas > 5
    assert kinds == ['messageStart', *['contentBlockDelta'] * deltas, 'contentBlockStop', 'messageStop', 'metadata']
    text = ''.join(event['contentBlockDelta']['delta']['text'] for event in events if 'contentBlockDelta' in event)
    assert text == whole['output']['message']['content'][0]['text']
    assert events[-2]['messageStop']['stopReason'] == whole['stopReason']
    assert events[-1]['metadata']['usage'] == whole['usage']


def test_a_tool_is_called_and_its_result_told(client: Any) -> None:
    messages = [user('What is the weather in Paris?')]
    asked = client.converse(modelId=NOVA, messages=messages, toolConfig={'tools': [WEATHER]})
    assert asked['stopReason'] == 'tool_use'
    call = asked['output']['message']['content'][-1]['toolUse']
    assert (call['name'], call['input']) == ('get_weather', {'city': 'Paris'})
    messages += [asked['output']['message'], user(tool_result('Rain, 9 degrees', call['toolUseId']))]
    told = client.converse(modelId=NOVA, messages=messages, toolConfig={'tools': [WEATHER]})
    assert told['stopReason'] == 'end_turn'
    assert 'get_weather says: Rain, 9 degrees' in told['output']['message']['content'][0]['text']


def test_a_streamed_tool_call_joins_to_json(client: Any) -> None:
    stream = client.converse_stream(
        modelId=NOVA, messages=[user('What is the weather in Paris?')], toolConfig={'tools': [WEATHER]}
    )['stream']
    events = list(stream)
    start = next(event['contentBlockStart']['start'] for event in events if 'contentBlockStart' in event)
    assert start['toolUse']['name'] == 'get_weather'
    assert start['toolUse']['toolUseId'].startswith('tooluse_')
    pieces = [
        event['contentBlockDelta']['delta']['toolUse']['input'] for event in events if 'contentBlockDelta' in event
    ]
    assert json.loads(''.join(pieces)) == {'city': 'Paris'}


def test_reasoning_of_every_kind_arrives(client: Any, served: LocalBedrock) -> None:
    reply = Reply('So be it.', thinking='Let me see.', signature='c2lnbmVk', redacted_thinking=b'\x00\x01')
    served.reply(reply, reply)
    content = client.converse(modelId=CLAUDE, messages=[user('Hi')])['output']['message']['content']
    assert content == [
        {'reasoningContent': {'reasoningText': {'text': 'Let me see.', 'signature': 'c2lnbmVk'}}},
        {'reasoningContent': {'redactedContent': b'\x00\x01'}},
        {'text': 'So be it.'},
    ]
    events = list(client.converse_stream(modelId=CLAUDE, messages=[user('Hi')])['stream'])
    deltas = [
        event['contentBlockDelta']['delta'].get('reasoningContent') for event in events if 'contentBlockDelta' in event
    ]
    assert deltas[:5] == [
        {'text': 'Let'},
        {'text': ' me'},
        {'text': ' see.'},
        {'signature': 'c2lnbmVk'},
        {'redactedContent': b'\x00\x01'},
    ]


def test_thinking_comes_first_when_it_is_asked_for(client: Any) -> None:
    fields = {'thinking': {'type': 'enabled', 'budget_tokens': 1024}}
    content = client.converse(modelId=CLAUDE, messages=[user('Hi')], additionalModelRequestFields=fields)['output'][
        'message'
    ]['content']
    assert [next(iter(block)) for block in content] == ['reasoningContent', 'text']
    assert content[0]['reasoningContent']['reasoningText']['signature']


def test_tokens_are_counted(client: Any) -> None:
    counted = CLAUDE.removeprefix('us.')
    few = client.count_tokens(modelId=counted, input={'converse': {'messages': [user('Hi')]}})['inputTokens']
    more = client.count_tokens(modelId=counted, input={'converse': {'messages': [user('Hi ' * 50)]}})['inputTokens']
    assert more == few + 49
    used = client.converse(modelId=CLAUDE, messages=[user('Hi ' * 50)])['usage']['inputTokens']
    assert used == more
    body = json.dumps({'messages': 'one two three'})
    assert client.count_tokens(modelId=counted, input={'invokeModel': {'body': body}})['inputTokens'] > 1


def test_an_arn_is_a_model_id(client: Any, served: LocalBedrock) -> None:
    arn = 'arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456'
    assert client.converse(modelId=arn, messages=[user('Hi')])['stopReason'] == 'end_turn'
    assert served.requests[0].model_id == arn
    assert '%3A' in served.requests[0].path


@pytest.mark.parametrize(
    'error',
    [
        THROTTLING,
        INTERNAL_SERVER_ERROR,
        SERVICE_UNAVAILABLE,
        MODEL_TIMEOUT,
        MODEL_ERROR,
        MODEL_NOT_READY,
        ACCESS_DENIED,
    ],
    ids=lambda error: error.code,
)
@pytest.mark.parametrize('operation', ['converse', 'converse_stream'])
def test_errors_are_the_exceptions_of_the_service(
    client: Any, served: LocalBedrock, error: ErrorReply, operation: str
) -> None:
    served.fault(error)
    with pytest.raises(getattr(client.exceptions, error.code)) as caught:
        getattr(client, operation)(modelId=NOVA, messages=[user('Hi')])
    assert caught.value.response['Error'] == {'Code': error.code, 'Message': error.message}
    assert caught.value.response['ResponseMetadata']['HTTPStatusCode'] == error.status
    assert served.requests[0].error_code == error.code


def test_an_exception_in_the_middle_of_a_stream_ends_it(client: Any, served: LocalBedrock) -> None:
    served.reply(
        EventsReply(
            [{'messageStart': {'role': 'assistant'}}, StreamEvent.exception('throttlingException', 'Too many tokens')]
        )
    )
    stream = client.converse_stream(modelId=NOVA, messages=[user('Hi')])['stream']
    with closing(stream):
        events = iter(stream)
        assert next(events) == {'messageStart': {'role': 'assistant'}}
        with pytest.raises(EventStreamError, match=r'throttlingException.*Too many tokens'):
            next(events)


def test_boto3_retries_what_it_retries_on_bedrock(make_client: MakeClient, served: LocalBedrock) -> None:
    served.fault(THROTTLING, nth=(1, 2))
    client = make_client(config=Config(retries={'max_attempts': 3, 'mode': 'standard'}))
    assert client.converse(modelId=NOVA, messages=[user('Hi')])['ResponseMetadata']['RetryAttempts'] == 2
    assert [(request.attempt, request.status) for request in served.requests] == [(1, 429), (2, 429), (3, 200)]
    assert len({request.invocation_id for request in served.requests}) == 1


# Who may ask


def test_a_wrong_secret_is_refused(make_client: MakeClient, served: LocalBedrock) -> None:
    with pytest.raises(ClientError, match='does not match the signature you provided') as caught:
        make_client(aws_secret_access_key='wrong').converse(modelId=NOVA, messages=[user('Hi')])
    assert caught.value.response['Error']['Code'] == 'InvalidSignatureException'
    assert served.requests[0].auth_scheme is None


def test_an_unknown_access_key_is_refused(make_client: MakeClient) -> None:
    with pytest.raises(ClientError, match='The security token included in the request is invalid') as caught:
        make_client(aws_access_key_id='AKIDUNKNOWN').converse(modelId=NOVA, messages=[user('Hi')])
    assert caught.value.response['Error']['Code'] == 'UnrecognizedClientException'


def test_a_rotated_key_has_expired_and_the_new_one_is_accepted(make_client: MakeClient, served: LocalBedrock) -> None:
    before = make_client()
    assert before.converse(modelId=NOVA, messages=[user('Hi')])
    key = served.rotate_credentials(temporary=True)
    with pytest.raises(ClientError, match='The security token included in the request is expired') as caught:
        before.converse(modelId=NOVA, messages=[user('Hi')])
    assert caught.value.response['Error']['Code'] == 'ExpiredTokenException'
    assert key.session_token
    assert make_client().converse(modelId=NOVA, messages=[user('Hi')])
    with pytest.raises(ClientError, match='The security token included in the request is invalid'):
        make_client(aws_session_token='another').converse(modelId=NOVA, messages=[user('Hi')])


def test_a_revoked_key_is_unknown(make_client: MakeClient, served: LocalBedrock) -> None:
    served.revoke(served.aws_access_key_id)
    with pytest.raises(ClientError) as caught:
        make_client().converse(modelId=NOVA, messages=[user('Hi')])
    assert caught.value.response['Error']['Code'] == 'UnrecognizedClientException'


def test_a_key_that_was_accepted_later_signs(make_client: MakeClient, served: LocalBedrock) -> None:
    served.accept('AKIDOTHER', 'other-secret')
    assert make_client(aws_access_key_id='AKIDOTHER', aws_secret_access_key='other-secret').converse(
        modelId=NOVA, messages=[user('Hi')]
    )


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def over_tls(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalBedrock]:
    """Yield an endpoint to which botocore gives bearer tokens: from 1.44 on it sends them over TLS only."""
    bundle = tmp_path / 'authority.pem'
    authority.cert_pem.write_to_path(bundle)
    monkeypatch.setenv('AWS_CA_BUNDLE', str(bundle))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert('127.0.0.1').configure_cert(tls)
    with LocalBedrock(tls=tls) as bedrock:
        yield bedrock


def test_the_bearer_token_of_the_environment_is_accepted(
    make_client: MakeClient, over_tls: LocalBedrock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('AWS_BEARER_TOKEN_BEDROCK', over_tls.api_key)
    client = make_client(bedrock=over_tls, sign=False)
    assert client.converse(modelId=NOVA, messages=[user('Hi')])
    assert over_tls.requests[0].auth_scheme == 'bearer'


@pytest.mark.parametrize(
    ('expire', 'message'), [(False, 'make sure your API Key is valid'), (True, 'Bearer Token has expired')]
)
def test_a_bearer_token_that_is_not_good_is_refused(
    make_client: MakeClient, over_tls: LocalBedrock, monkeypatch: pytest.MonkeyPatch, expire: bool, message: str
) -> None:
    monkeypatch.setenv('AWS_BEARER_TOKEN_BEDROCK', over_tls.api_key if expire else 'wrong')
    if expire:
        over_tls.rotate_api_key()
    with pytest.raises(ClientError, match=message) as caught:
        make_client(bedrock=over_tls, sign=False).converse(modelId=NOVA, messages=[user('Hi')])
    assert caught.value.response['Error']['Code'] == 'AccessDeniedException'


def test_the_environment_of_an_endpoint_is_all_that_a_client_needs(
    served: LocalBedrock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in served.environment.items():
        monkeypatch.setenv(name, value)
    client: Any = botocore.session.Session().create_client('bedrock-runtime')
    try:
        assert client.converse(modelId=NOVA, messages=[user('Hi')])['stopReason'] == 'end_turn'
    finally:
        client.close()


def test_tool_calls_without_arguments_and_with_invalid_ones_can_be_scripted(client: Any, served: LocalBedrock) -> None:
    served.reply(Reply(tool_calls=[ToolCall('now'), ToolCall('get_weather', '{"city": ', id='broken')]))
    events = list(
        client.converse_stream(modelId=NOVA, messages=[user('Hi')], toolConfig={'tools': [WEATHER, tool('now')]})[
            'stream'
        ]
    )
    inputs = [
        (event['contentBlockDelta']['contentBlockIndex'], event['contentBlockDelta']['delta']['toolUse']['input'])
        for event in events
        if 'contentBlockDelta' in event
    ]
    assert inputs == [(0, '{}'), (1, '{"city": ')]
    assert events[-2]['messageStop']['stopReason'] == 'tool_use'
