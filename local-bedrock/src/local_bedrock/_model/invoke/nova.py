"""The format of Nova: that of Converse, but for the names of a few settings.

https://docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from local_bedrock._bodies.json_access import structure
from local_bedrock._model.converse_bodies import stream_events
from local_bedrock._model.invoke.generation import Generation, present
from local_bedrock._model.malformed import malformed, required

_MEMBERS = ('schemaVersion', 'messages', 'system', 'inferenceConfig', 'toolConfig')


def converse_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request in the terms of Converse.

    Raises:
        RefusedError: The messages are missing, or another member is not Nova's.
    """
    required(body, 'messages', list)
    for name in body:
        if name not in _MEMBERS:
            raise malformed(f'#: extraneous key [{name}] is not permitted')
    config = dict(structure(body, 'inferenceConfig'))
    # The older names are those of the user guide, the newer those of Converse: Nova takes both.
    for older, newer in (('max_new_tokens', 'maxTokens'), ('top_p', 'topP')):
        if older in config:
            config[newer] = config.pop(older)
    top_k = config.pop('topK', config.pop('top_k', None))
    return present(
        messages=body['messages'],
        system=body.get('system'),
        toolConfig=body.get('toolConfig'),
        inferenceConfig=config or None,
        additionalModelRequestFields=None if top_k is None else {'inferenceConfig': {'topK': top_k}},
    )


def response(generation: Generation) -> dict[str, Any]:
    """Return the body of the response to InvokeModel."""
    return {
        'output': {'message': {'content': generation.blocks, 'role': 'assistant'}},
        'stopReason': generation.stop_reason,
        'usage': _usage(generation),
    }


def chunks(generation: Generation) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a stream."""
    for name, event in stream_events(generation.reply, generation.request, generation.blocks):
        yield (
            {'metadata': {'usage': _usage(generation), 'metrics': {}, 'trace': {}}}
            if name == 'metadata'
            else {name: event}
        )


def _usage(generation: Generation) -> dict[str, int]:
    usage = generation.usage
    return {
        'inputTokens': usage['inputTokens'],
        'outputTokens': usage['outputTokens'],
        'totalTokens': usage['totalTokens'],
        'cacheReadInputTokenCount': usage.get('cacheReadInputTokens', 0),
        'cacheWriteInputTokenCount': usage.get('cacheWriteInputTokens', 0),
    }
