"""All of upstream's `BedrockEmbeddingModel`: Titan, Cohere, Nova, their settings, batching, concurrency and errors."""
# ruff: noqa: E501 - one line a case

from pydantic_ai.embeddings import Embedder

from .programs import observed, program
from .releases import BROKEN_ANSWERS
from .replies import MODEL_ERROR, THROTTLING, ErrorReply, NoResponse, RawReply

TITAN, TITAN_1 = 'amazon.titan-embed-text-v2:0', 'amazon.titan-embed-text-v1'
COHERE, COHERE_4, MULTILINGUAL = 'cohere.embed-english-v3', 'us.cohere.embed-v4:0', 'cohere.embed-multilingual-v3'
NOVA = 'amazon.nova-2-multimodal-embeddings-v1:0'
PROFILE = 'arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456'
TEN = [f'Text number {n}' for n in range(10)]


def embed(name, model, inputs='Hello there', *, query=False, defaults=None, provider=None, **row):
    columns = {key: row.pop(key) for key in ('replies', 'faults', 'since', 'own_words', 'tls') if key in row}

    async def body(side):
        async def run():
            made = side.embedding_model(model, provider=side.provider(**(provider or {})), settings=defaults)
            embedder = Embedder(made)
            result = await (embedder.embed_query if query else embedder.embed_documents)(inputs, settings=row or None)
            return {
                'result': result,
                'limit': await embedder.max_input_tokens(),
                'system': made.system,
                'name': made.model_name,
                'url': made.base_url,
            }

        return {'embed': await observed(run)}

    # Which of several concurrent requests arrives first is chance.
    return program(name, body, in_order=isinstance(inputs, str), **columns)


def raw(name, body, model=TITAN, inputs='Hello there', **headers):
    return embed(name, model, inputs, replies=[RawReply(body, headers={'Content-Type': 'application/json', **headers})])


# fmt: off
CASES = (
    embed('Titan', TITAN),
    embed('Titan, a query', TITAN, query=True),
    embed('Titan, ten texts', TITAN, TEN),
    embed('Titan, one at a time', TITAN, TEN, bedrock_max_concurrency=1),
    embed('Titan, twenty at a time', TITAN, TEN * 3, bedrock_max_concurrency=20),
    embed('Titan, none at a time', TITAN, TEN, bedrock_max_concurrency=0),
    embed('Titan, no text', TITAN, []),
    embed('Titan, an empty text', TITAN, '', since=BROKEN_ANSWERS),
    embed('Titan, dimensions', TITAN, dimensions=256),
    embed('Titan, dimensions that it has not', TITAN, dimensions=999, since=BROKEN_ANSWERS),
    embed('Titan, not normalized', TITAN, bedrock_titan_normalize=False),
    embed('Titan, truncate', TITAN, truncate=True),
    embed('Titan, extra headers and body', TITAN, extra_headers={'X-A': 'b'}, extra_body={'a': 1}),
    embed('Titan 1', TITAN_1, dimensions=256, bedrock_titan_normalize=True),
    embed('Titan by an inference profile', TITAN, bedrock_inference_profile=PROFILE),
    embed('Titan, settings of the model', TITAN, defaults={'dimensions': 512}),
    embed('Titan, settings of the call before those of the model', TITAN, defaults={'dimensions': 512}, dimensions=256),
    embed('Cohere', COHERE),
    embed('Cohere, a query', COHERE, query=True),
    embed('Cohere, ten texts', COHERE, TEN),
    embed('Cohere, 97 texts', COHERE, TEN * 9 + TEN[:7]),
    embed('Cohere, multilingual', MULTILINGUAL, ['Käse', '🧀']),
    embed('Cohere, truncate', COHERE, truncate=True),
    embed('Cohere, truncate the start', COHERE, bedrock_cohere_truncate='START'),
    embed('Cohere, input type', COHERE, bedrock_cohere_input_type='clustering'),
    embed('Cohere 4', COHERE_4),
    embed('Cohere 4, dimensions and tokens', COHERE_4, TEN, dimensions=512, bedrock_cohere_max_tokens=100),
    embed('Nova', NOVA),
    embed('Nova, a query', NOVA, query=True),
    embed('Nova, ten texts', NOVA, TEN),
    embed('Nova, dimensions', NOVA, dimensions=384),
    embed('Nova, purpose', NOVA, bedrock_nova_embedding_purpose='CLUSTERING'),
    embed('Nova, truncate', NOVA, truncate=True),
    embed('Nova, truncate the start', NOVA, bedrock_nova_truncate='START'),
    embed('model that embeds nothing', 'us.amazon.titan-text-v1'),
    embed('model that is not there', 'amazon.titan-embed-?', since=BROKEN_ANSWERS),
    embed('API key', TITAN, provider={'api_key': 'parity-api-key'}, tls=True),
    embed('wrong API key', TITAN, provider={'api_key': 'wrong'}, tls=True, own_words=True, since=BROKEN_ANSWERS),
    embed('wrong secret', TITAN, provider={'aws_secret_access_key': 'wrong'}, since=BROKEN_ANSWERS),
    embed('throttled', TITAN, faults=[THROTTLING], since=BROKEN_ANSWERS),
    embed('throttled, Cohere', COHERE, TEN, faults=[THROTTLING]),
    embed('model failed', NOVA, faults=[MODEL_ERROR], since=BROKEN_ANSWERS),
    embed('quota', TITAN, faults=[ErrorReply(400, 'ServiceQuotaExceededException', 'No more.')], since=BROKEN_ANSWERS),
    embed('reset', TITAN, faults=[NoResponse('reset')], own_words=True, since=BROKEN_ANSWERS),
    embed('closed', TITAN, faults=[NoResponse('close')], own_words=True, since=BROKEN_ANSWERS),
    embed('silence', TITAN, faults=[NoResponse('hang')], provider={'aws_read_timeout': 0.4}, own_words=True, since=BROKEN_ANSWERS),
    raw('without a count of tokens', b'{"embedding": [0.5, 1, -1e-7]}'),
    raw('that is no JSON', b'nothing'),
    raw('that is empty', b''),
    raw('without an embedding', b'{}'),
    raw('Cohere, without embeddings', b'{"id": "1"}', COHERE),
    raw('Cohere, embeddings by type', b'{"id": "1", "embeddings": {"float": [[0.5]]}}', COHERE),
    raw('Nova, without embeddings', b'{"embeddings": []}', NOVA),
)
