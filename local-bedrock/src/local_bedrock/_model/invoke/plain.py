"""The formats of models that take a prompt and return text: Titan, Llama and Mistral.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-text.html and its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from local_bedrock._bodies.json_access import structure
from local_bedrock._model.invoke.generation import Generation, present
from local_bedrock._model.malformed import malformed, required

_TITAN_MEMBERS = ('inputText', 'textGenerationConfig')
_TITAN_REASONS = {'max_tokens': 'LENGTH', 'stop_sequence': 'STOP_CRITERIA_MET', 'content_filtered': 'CONTENT_FILTERED'}


def _prompt(text: str, **config: Any) -> dict[str, Any]:
    messages = [{'role': 'user', 'content': [{'text': text}]}]
    return {'messages': messages, 'inferenceConfig': present(**config)}


class TitanText:
    """The format of Titan Text."""

    def converse_request(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a request in the terms of Converse."""
        required(body, 'inputText', str)
        for name in body:
            if name not in _TITAN_MEMBERS:
                raise malformed(f'#: extraneous key [{name}] is not permitted')
        config = structure(body, 'textGenerationConfig')
        stops = config.get('stopSequences')
        if isinstance(stops, str):
            # https://github.com/langgenius/dify/pull/3326
            raise malformed('#/textGenerationConfig/stopSequences: expected type: JSONArray, found: String')
        return _prompt(
            body['inputText'],
            maxTokens=config.get('maxTokenCount'),
            temperature=config.get('temperature'),
            topP=config.get('topP'),
            stopSequences=stops,
        )

    def response(self, generation: Generation) -> dict[str, Any]:
        """Return the body of the response to InvokeModel."""
        result = {
            'tokenCount': generation.usage['outputTokens'],
            'outputText': generation.text,
            'completionReason': _TITAN_REASONS.get(generation.stop_reason, 'FINISH'),
        }
        return {'inputTextTokenCount': generation.usage['inputTokens'], 'results': [result]}

    def chunks(self, generation: Generation) -> Iterator[dict[str, Any]]:
        """Yield the chunks of a stream."""
        pieces = generation.texts or ['']
        for number, text in enumerate(pieces, 1):
            last = number == len(pieces)
            yield {
                'outputText': text,
                'index': 0,
                'totalOutputTextTokenCount': generation.usage['outputTokens'] if last else None,
                'completionReason': _TITAN_REASONS.get(generation.stop_reason, 'FINISH') if last else None,
                'inputTextTokenCount': generation.usage['inputTokens'] if number == 1 else None,
            }


class Llama:
    """The format of Llama."""

    def converse_request(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a request in the terms of Converse."""
        required(body, 'prompt', str)
        return _prompt(
            body['prompt'],
            maxTokens=body.get('max_gen_len'),
            temperature=body.get('temperature'),
            topP=body.get('top_p'),
        )

    def response(self, generation: Generation) -> dict[str, Any]:
        """Return the body of the response to InvokeModel."""
        return {
            'generation': generation.text,
            'prompt_token_count': generation.usage['inputTokens'],
            'generation_token_count': generation.usage['outputTokens'],
            'stop_reason': 'length' if generation.stop_reason == 'max_tokens' else 'stop',
        }

    def chunks(self, generation: Generation) -> Iterator[dict[str, Any]]:
        """Yield the chunks of a stream."""
        end = self.response(generation)
        for number, text in enumerate(generation.texts, 1):
            prompt = end['prompt_token_count'] if number == 1 else None
            yield {
                'generation': text,
                'prompt_token_count': prompt,
                'generation_token_count': number,
                'stop_reason': None,
            }
        yield {**end, 'generation': '', 'prompt_token_count': None}


class Mistral:
    """The format of Mistral's models of text completion."""

    def converse_request(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a request in the terms of Converse."""
        required(body, 'prompt', str)
        return _prompt(
            body['prompt'],
            maxTokens=body.get('max_tokens'),
            temperature=body.get('temperature'),
            topP=body.get('top_p'),
            stopSequences=body.get('stop'),
        )

    def response(self, generation: Generation) -> dict[str, Any]:
        """Return the body of the response to InvokeModel."""
        return self._outputs(generation.text, self._reason(generation))

    def chunks(self, generation: Generation) -> Iterator[dict[str, Any]]:
        """Yield the chunks of a stream."""
        for text in generation.texts:
            yield self._outputs(text, None)
        yield self._outputs('', self._reason(generation))

    def _reason(self, generation: Generation) -> str:
        return 'length' if generation.stop_reason == 'max_tokens' else 'stop'

    def _outputs(self, text: str, reason: str | None) -> dict[str, Any]:
        return {'outputs': [{'text': text, 'stop_reason': reason}]}
