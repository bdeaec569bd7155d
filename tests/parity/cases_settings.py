"""Every setting of `ModelSettings` and `BedrockModelSettings` that upstream honours, and what it warns of."""
# ruff: noqa: E501 - one line a case

from .programs import COUNT, RUN, STREAM, chat
from .replies import Reply
from .sides import CLAUDE, CLAUDE_ADAPTIVE, NOVA

PROFILE = 'arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456'
PROMPT = 'arn:aws:bedrock:us-east-1:123456789012:prompt/PROMPT12345:1'
GUARDRAIL = {'guardrailIdentifier': 'gr4rd123', 'guardrailVersion': '1', 'trace': 'enabled'}
STREAM_GUARDRAIL = {**GUARDRAIL, 'streamProcessingMode': 'sync'}
ASSESSMENT = {'wordPolicy': {'customWords': [{'match': 'bomb', 'action': 'BLOCKED', 'detected': True}]}}
TRACE = {'guardrail': {'inputAssessment': {'gr4rd123': ASSESSMENT}, 'actionReason': 'Guardrail blocked.'}}
ROUTER = {'promptRouter': {'invokedModelId': 'arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0'}}
ALL = (RUN, STREAM, COUNT)


def setting(name, **row):
    settings = {key: row.pop(key) for key in list(row) if key not in ROW}
    return chat(name, settings=settings, **row)


ROW = frozenset(
    {
        'model',
        'modes',
        'replies',
        'since',
        'needs',
        'model_settings',
        'agent',
        'profile',
        'provider',
        'prompt',
        'own_words',
    }
)

# fmt: off
CASES = (
    setting('none', modes=ALL),
    # ModelSettings
    setting('max_tokens', max_tokens=7, modes=ALL),
    setting('max_tokens of zero', max_tokens=0),
    setting('max_tokens above what Claude can generate', model=CLAUDE, max_tokens=10_000_000),
    setting('max_tokens that cuts the answer off', replies=[Reply('Once upon', stop_reason='max_tokens')], max_tokens=2),
    setting('temperature', temperature=0.25, modes=ALL),
    setting('temperature of zero', temperature=0.0),
    setting('top_p', top_p=0.9),
    setting('top_k on Nova', model=NOVA, top_k=20),
    setting('top_k on Nova beside an inferenceConfig', top_k=20, bedrock_additional_model_requests_fields={'inferenceConfig': {'a': 1}}),
    setting('top_k on Claude', model=CLAUDE, top_k=20),
    setting('top_k on Claude beside one of its own', model=CLAUDE, top_k=20, bedrock_additional_model_requests_fields={'top_k': 5}),
    setting('top_k on Llama', model='us.meta.llama3-3-70b-instruct-v1:0', top_k=20),
    setting('stop_sequences', stop_sequences=['###', 'END']),
    setting('stop_sequences that end the answer', stop_sequences=['said'], modes=ALL),
    setting('sampling settings on a model that refuses them', model='global.anthropic.claude-opus-5-5', temperature=0.5, top_p=0.9, top_k=3),
    setting('sampling settings on GPT-5.6', model='global.openai.gpt-5.6-sol', temperature=0.5),
    setting('extra_headers', extra_headers={'X-Team': 'Research', 'x-trace': '1'}, modes=ALL),
    setting('extra_headers that AWS signs', extra_headers={'X-Amzn-Bedrock-Test': 'yes', 'X-Amz-Meta': 'of mine'}),
    setting('extra_headers that replace one of the SDK', extra_headers={'content-type': 'application/json; charset=utf-8'}),
    setting('extra_headers of the model', model_settings={'extra_headers': {'X-Of-The': 'model'}}),
    setting('extra_headers of the run before those of the model', model_settings={'extra_headers': {'X-Of-The': 'model'}}, extra_headers={'X-Of-The': 'run'}),
    setting('settings of the model', model_settings={'temperature': 0.1, 'max_tokens': 9}),
    setting('settings of the run before those of the model', model_settings={'temperature': 0.1, 'top_p': 0.5}, temperature=0.7),
    setting('parallel_tool_calls', parallel_tool_calls=False),
    setting('seed and penalties', seed=7, presence_penalty=0.1, frequency_penalty=0.2, logit_bias={'1': 2}),
    setting('extra_body', extra_body={'more': 1}),
    setting('service_tier auto', service_tier='auto'),
    setting('service_tier default', service_tier='default', needs='ConverseRequest.serviceTier', replies=[Reply('Hi', service_tier='default')]),
    setting('service_tier flex', service_tier='flex', needs='ConverseRequest.serviceTier', replies=[Reply('Hi', service_tier='flex')]),
    setting('service_tier priority', service_tier='priority', needs='ConverseRequest.serviceTier'),
    # BedrockModelSettings
    setting('service tier reserved', bedrock_service_tier={'type': 'reserved'}, needs='ConverseRequest.serviceTier'),
    setting('service tier before the unified one', bedrock_service_tier={'type': 'flex'}, service_tier='priority', needs='ConverseRequest.serviceTier'),
    setting('guardrail', bedrock_guardrail_config=GUARDRAIL, modes=ALL),
    setting('guardrail of a stream', bedrock_guardrail_config=STREAM_GUARDRAIL, modes=[STREAM]),
    setting('guardrail that intervenes, with its trace', bedrock_guardrail_config=GUARDRAIL, replies=[Reply('Sorry.', stop_reason='guardrail_intervened', trace=TRACE)]),
    setting('trace of a prompt router', replies=[Reply('Hi', trace=ROUTER)]),
    setting('performance configuration', bedrock_performance_configuration={'latency': 'optimized'}, replies=[Reply('Hi', performance_latency='optimized')]),
    setting('request metadata', bedrock_request_metadata={'team': 'research', 'cost-centre': '42'}),
    setting('response field paths', bedrock_additional_model_response_fields_paths=['/stop_sequence'], replies=[Reply('Hi', additional_fields={'stop_sequence': None, 'n': [1, None]})]),
    setting('prompt variables', model=PROMPT, bedrock_prompt_variables={'name': {'text': 'Ada'}}),
    setting('additional model request fields', bedrock_additional_model_requests_fields={'a': {'b': [1, 2.5, None, True, 'ä']}}, modes=ALL),
    setting('inference profile', model=CLAUDE, bedrock_inference_profile=PROFILE, modes=ALL),
    setting('inference profile as the model', model=PROFILE),
    setting('empty settings of every kind', bedrock_guardrail_config={}, bedrock_request_metadata={}, bedrock_prompt_variables={}, stop_sequences=[]),
    setting('all at once', model=CLAUDE, max_tokens=50, temperature=0.5, top_k=3, stop_sequences=['x'], bedrock_guardrail_config=GUARDRAIL, bedrock_request_metadata={'a': 'b'}, modes=ALL),
    # Thinking by default makes upstream stream what was not asked to be streamed.
    setting('no max_tokens on a Claude whose maximum is known', model=CLAUDE_ADAPTIVE),
    setting('max_tokens on a Claude whose maximum is known', model=CLAUDE_ADAPTIVE, max_tokens=100),
)
