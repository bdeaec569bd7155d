"""Credentials, regions and endpoints, from every place that they come from."""
# ruff: noqa: E501 - one line a case

from typing import Any

from pydantic_ai import Agent

from .programs import observed, of_run, program
from .sides import NOVA

KEYS = {'AWS_ACCESS_KEY_ID': '$aws_access_key_id', 'AWS_SECRET_ACCESS_KEY': '$aws_secret_access_key'}
TEMPORARY = {
    'AWS_ACCESS_KEY_ID': 'AKIDTEMPORARY',
    'AWS_SECRET_ACCESS_KEY': 'temporary-secret',
    'AWS_SESSION_TOKEN': 'temporary-token',
}
REGION = {'AWS_DEFAULT_REGION': '$region_name'}
ENDPOINT = {'AWS_ENDPOINT_URL_BEDROCK_RUNTIME': '$base_url'}
STATIC = 'aws_access_key_id = $aws_access_key_id\naws_secret_access_key = $aws_secret_access_key\n'
WRONG = 'aws_access_key_id = AKIDWRONG\naws_secret_access_key = wrong\n'
ROLE = 'role_arn = arn:aws:iam::123456789012:role/reader\n'
STS = {'AWS_ENDPOINT_URL_STS': '$sts_url', **REGION}
PROCESS = 'credential_process = $python -c "print(\'{\\"Version\\": 1, \\"AccessKeyId\\": \\"AKIDTEMPORARY\\", \\"SecretAccessKey\\": \\"temporary-secret\\", \\"SessionToken\\": \\"temporary-token\\"}\')"\n'
WEB = {
    'AWS_WEB_IDENTITY_TOKEN_FILE': '$folder/token',
    'AWS_ROLE_ARN': 'arn:aws:iam::123456789012:role/reader',
    'AWS_ROLE_SESSION_NAME': 'parity',
    **STS,
}
GATEWAY = {'PYDANTIC_AI_GATEWAY_API_KEY': '$api_key', 'PYDANTIC_AI_GATEWAY_BASE_URL': '$base_url'}


def here(**arguments):
    """The arguments of a provider of the endpoint, and these."""

    def made(side):
        return {'base_url': side.endpoint.base_url, 'region_name': side.endpoint.region_name, **arguments}

    return made


def by(name, arguments, **row):
    """A provider made with these arguments, and a run with it."""

    async def body(side):
        async def run():
            given: Any = arguments(side) if callable(arguments) else arguments
            provider = side.keep(side.provider_class(**given))
            model = side.model_class(NOVA, provider=provider)
            result = await Agent(model).run('Hello')
            return {
                'url': provider.base_url,
                'name': provider.name,
                'region': provider.client.meta.region_name,
                **of_run(result),
            }

        return {'run': await observed(run)}

    return program(name, body, **row)


def alone(name, arguments=None, **row):
    """A model that makes its provider itself."""

    async def body(side):
        async def run():
            model = side.model_class(NOVA, **(arguments or {}))
            side.keep(model.provider)
            result = await Agent(model).run('Hello')
            return {
                'url': model.base_url,
                'system': model.system,
                'namespace': model.provider.model_id_namespace,
                **of_run(result),
            }

        return {'run': await observed(run)}

    return program(name, body, **row)


async def gateway_provider(side):
    """A model given the provider that `gateway_provider` makes."""
    from pydantic_ai.providers.gateway import gateway_provider, is_gateway_provider

    async def run(**more):
        provider = gateway_provider('bedrock', api_key=side.endpoint.api_key, base_url=side.endpoint.base_url, **more)
        side.keep(provider)
        model = side.model_class(NOVA, provider=provider)
        facts = {
            'url': model.base_url,
            'namespace': model.provider.model_id_namespace,
            'is': is_gateway_provider(model.provider),
        }
        try:
            return {**facts, **of_run(await Agent(model).run('Hello'))}
        except Exception as error:
            return {**facts, 'error': error}

    return [await observed(run), await observed(lambda: run(route='my-route')), await observed(lambda: run(route=''))]


async def unknown_model_by_gateway(side):
    from pydantic_ai.providers.gateway import gateway_provider

    provider = gateway_provider('bedrock', api_key=side.endpoint.api_key, base_url=side.endpoint.base_url, route='')
    side.keep(provider)
    return await observed(lambda: Agent(side.model_class('us.amazon.nova-lite-v1', provider=provider)).run('Hello'))


# fmt: off
CASES = (
    by('access key', here(aws_access_key_id='AKIDPARITY', aws_secret_access_key='parity-secret')),
    by('temporary access key', here(aws_access_key_id='AKIDTEMPORARY', aws_secret_access_key='temporary-secret', aws_session_token='temporary-token')),
    by('access key of the environment', here(), environment=KEYS),
    by('temporary access key of the environment', here(), environment=TEMPORARY),
    by('access key before that of the environment', here(aws_access_key_id='AKIDPARITY', aws_secret_access_key='parity-secret'), environment=TEMPORARY),
    by('default profile', here(), credentials=f'[default]\n{STATIC}'),
    by('profile', here(profile_name='work'), credentials=f'[default]\n{WRONG}[work]\n{STATIC}'),
    by('profile before the environment', here(profile_name='work'), environment=TEMPORARY, credentials=f'[work]\n{STATIC}'),
    by('profile of the environment', here(), environment={'AWS_PROFILE': 'work'}, credentials=f'[default]\n{WRONG}[work]\n{STATIC}'),
    by('profile of the configuration file', here(profile_name='work'), config=f'[profile work]\n{STATIC}'),
    by('region of a profile', lambda side: {'base_url': side.endpoint.base_url, 'profile_name': 'work'}, config=f'[profile work]\nregion = us-east-1\n{STATIC}'),
    by('region of the environment', lambda side: {'base_url': side.endpoint.base_url}, environment={**KEYS, **REGION}),
    by('endpoint of the environment', {'region_name': 'us-east-1'}, environment={**KEYS, **ENDPOINT}),
    by('endpoint of all services', {'region_name': 'us-east-1'}, environment={**KEYS, 'AWS_ENDPOINT_URL': '$base_url'}),
    by('endpoint of a profile', {'profile_name': 'work'}, config=f'[profile work]\nregion = us-east-1\nservices = here\n{STATIC}[services here]\nbedrock_runtime =\n  endpoint_url = $base_url\n'),
    by('credential process', here(profile_name='work'), config=f'[profile work]\n{PROCESS}'),
    by('assumed role', here(profile_name='work'), environment=STS, config=f'[profile work]\n{ROLE}source_profile = base\n[profile base]\n{STATIC}', sts=True),
    by('assumed role, of the environment', here(profile_name='work'), environment={**KEYS, **STS}, config=f'[profile work]\n{ROLE}credential_source = Environment\nrole_session_name = me\nexternal_id = 42\n', sts=True),
    by('assumed role, through another', here(profile_name='work'), environment=STS, config=f'[profile work]\n{ROLE}source_profile = middle\n[profile middle]\n{ROLE}source_profile = base\n[profile base]\n{STATIC}', sts=True),
    by('web identity', here(), environment=WEB, sts=True),
    by('web identity of a profile', here(profile_name='work'), environment=STS, config=f'[profile work]\n{ROLE}web_identity_token_file = $folder/token\n', sts=True),
    by('API key', here(api_key='parity-api-key'), tls=True),
    by('API key of the environment', here(), environment={'AWS_BEARER_TOKEN_BEDROCK': '$api_key'}, tls=True),
    by('API key before that of the environment', here(api_key='parity-api-key'), environment={'AWS_BEARER_TOKEN_BEDROCK': 'wrong'}, tls=True),
    by('API key before access keys', here(api_key='parity-api-key'), environment=KEYS, tls=True),
    by('API key and a profile', here(api_key='parity-api-key', profile_name='work'), config='[profile work]\noutput = json\n', tls=True),
    by('API key, empty', here(api_key=''), environment=KEYS),
    by('access key, empty', here(aws_access_key_id='', aws_secret_access_key='', aws_session_token=''), environment=KEYS),
    by('timeouts of the environment', here(), environment={**KEYS, 'AWS_READ_TIMEOUT': '30', 'AWS_CONNECT_TIMEOUT': '5'}),
    by('access key over TLS', here(aws_access_key_id='AKIDPARITY', aws_secret_access_key='parity-secret'), tls=True),
    by('no region', {}, own_words=True),
    alone('by name, of the environment', environment={**KEYS, **REGION, **ENDPOINT}),
    alone('by name, of the environment, with an API key', environment={'AWS_BEARER_TOKEN_BEDROCK': '$api_key', **REGION, **ENDPOINT}, tls=True),
    alone('by name, without a region', own_words=True),
    alone('gateway', {'provider': 'gateway'}, environment=GATEWAY, tls=True),
    alone('gateway, without a key', {'provider': 'gateway'}),
    alone('gateway, with a key that tells no region', {'provider': 'gateway'}, environment={'PYDANTIC_AI_GATEWAY_API_KEY': 'none'}),
    program('gateway provider', gateway_provider, tls=True),
    program('gateway provider, a model that is not there', unknown_model_by_gateway, tls=True),
)
