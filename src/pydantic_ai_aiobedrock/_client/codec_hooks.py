"""Puts the codec into an aiobotocore client, through the events that botocore emits around a call.

Only the conversion between the caller's dicts and the bytes is replaced. Endpoints, signing, retries, errors and
`ResponseMetadata` stay botocore's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pydantic_ai_aiobedrock._client.encoding import encode
from pydantic_ai_aiobedrock._wire.converse import decode_response

__all__ = ['install']

_SERVICE: Final = 'bedrock-runtime'
_OPERATIONS: Final = ('Converse', 'ConverseStream', 'CountTokens')
_PARAMS: Final = 'pydantic_ai_aiobedrock.params'
_STAND_IN_BODIES: Final = (b'{}', b'{"input": {"converse": {}}}')


def install(client: Any, open_stream: Callable[[Any], object]) -> None:
    """Let Converse, ConverseStream and CountTokens of this client go through the codec.

    No other client is affected, and a second installation changes nothing.

    Args:
        client: An aiobotocore client of `bedrock-runtime`.
        open_stream: Makes the `stream` of a ConverseStream response out of the raw HTTP response.
    """

    def decode(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
        if not 200 <= response_dict['status_code'] < 300:
            return
        body = response_dict['body']
        if isinstance(body, bytes):
            # botocore decodes an empty body instead, and adds these members to the result.
            response_dict['body'] = b''
            customized_response_dict.update(decode_response(body))
            # These members are botocore's, which takes retries from them: a body cannot set them.
            customized_response_dict.pop('ResponseMetadata', None)
            customized_response_dict.pop('Error', None)
        else:
            customized_response_dict['stream'] = open_stream(body)

    handlers: dict[str, Callable[..., object]] = {
        'provide-client-params': _withhold_params,
        'before-call': _put_body,
        'before-parse': decode,
    }
    for event, handler in handlers.items():
        for operation in _OPERATIONS:
            name = f'{event}.{_SERVICE}.{operation}'
            client.meta.events.register(name, handler, unique_id=f'pydantic-ai-aiobedrock.{name}')


def _withhold_params(params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> dict[str, Any]:
    # The installed service model may be older than the request's members, so it is shown only those that it requires.
    context[_PARAMS] = params
    shown = {name: params[name] for name in model.input_shape.required_members if name in params}
    if isinstance(shown.get('input'), dict):
        shown['input'] = {'converse': {}}
    return shown


async def _put_body(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    withheld = context.pop(_PARAMS, None)
    # Another body is made of parameters that another handler has put there instead of these.
    if withheld is not None and params['body'] in _STAND_IN_BODIES:
        params['body'] = await encode(withheld)
