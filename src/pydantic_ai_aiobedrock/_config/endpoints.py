"""Region and endpoint of a client, known without opening it."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import botocore.session
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import InvalidRegionError
from botocore.utils import is_valid_endpoint_url, is_valid_ipv6_endpoint_url, validate_region_name

from pydantic_ai_aiobedrock._config.aws_files import file_versions
from pydantic_ai_aiobedrock._config.botocore_loader import data_loader
from pydantic_ai_aiobedrock._config.client_spec import Aioboto3Session, botocore_session
from pydantic_ai_aiobedrock._config.redaction import redact_url
from pydantic_ai_aiobedrock.errors import UnusableConfigurationError

if TYPE_CHECKING:
    from aiobotocore.config import AioConfig
    from aiobotocore.session import AioSession

_CONFIGURED = 'The endpoint of `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`, `AWS_ENDPOINT_URL` or the AWS configuration file'
_RULES = 'bedrock-runtime/2023-09-30/endpoint-rule-set-1'


def resolve_region(
    region_name: str | None,
    profile_name: str | None = None,
    session: Aioboto3Session | AioSession | None = None,
    config: AioConfig | None = None,
) -> str:
    """Return the region that botocore would sign for: the argument's, the config's, or the configuration's.

    Raises:
        UnusableConfigurationError: Neither the argument, the config, the session, the environment nor the profile has a
            region, or it is not a valid name.
    """
    configuration = _configuration(profile_name, session)
    region: str | None = (
        region_name or _setting('region_name', config, session) or configuration.get_config_variable('region')
    )
    if not region:
        hint = ''
        if os.getenv('AWS_DEFAULT_REGION') == '':
            hint = ' (`AWS_DEFAULT_REGION` is set, but empty.)'
        elif os.getenv('AWS_REGION'):
            hint = ' (`AWS_REGION` is set, but the AWS SDKs for Python do not read it.)'
        raise UnusableConfigurationError(
            reason='You must provide a region: pass `region_name` to BedrockProvider, set `AWS_DEFAULT_REGION`, or '
            f'name a `region` in the profile of the AWS configuration file.{hint}'
        )
    try:
        validate_region_name(region)
    except InvalidRegionError:
        reason = f"{region!r} is not the name of an AWS region, such as 'us-east-1'."
        raise UnusableConfigurationError(reason=reason) from None
    if region != region.lower():
        # AWS refuses signatures for it, with words about credentials.
        reason = f'{region!r} is not the name of an AWS region, which is in lower case: {region.lower()!r}.'
        raise UnusableConfigurationError(reason=reason)
    return region


def check_base_url(base_url: str, name: str = '`base_url`') -> str:
    """Return the URL of an endpoint if it is valid.

    Args:
        base_url: The URL.
        name: The argument or variable that has the URL, for the error.

    Raises:
        UnusableConfigurationError: It is not an HTTP or HTTPS URL with a host, or has more than an endpoint can have.
    """
    if not _is_endpoint(base_url):
        raise UnusableConfigurationError(
            reason=f'{name} is not the URL of an endpoint: {redact_url(base_url)!r}. Pass one like '
            "'https://bedrock-runtime.us-east-1.amazonaws.com', or omit it for the region's own."
        )
    return base_url


def _is_endpoint(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_bad_port = parts.port == 0
    except ValueError:
        return False
    has_more = parts.username is not None or parts.query or parts.fragment
    is_valid = is_valid_endpoint_url(url) or is_valid_ipv6_endpoint_url(url)
    return bool(parts.scheme in ('http', 'https') and is_valid and not has_bad_port and not has_more)


def resolve_endpoint(
    region_name: str,
    profile_name: str | None = None,
    session: Aioboto3Session | AioSession | None = None,
    config: AioConfig | None = None,
) -> str:
    """Return the endpoint that botocore would send to: the configured, or the region's by the service's rules."""
    configuration = _configuration(profile_name, session)

    def is_on(name: str) -> bool:
        chosen = _setting(name, config, session)
        return bool(configuration.get_config_variable(name) if chosen is None else chosen)

    if not is_on('ignore_configured_endpoint_urls'):
        configured = ConfiguredEndpointProvider(
            full_config=configuration.full_config,
            scoped_config=configuration.get_scoped_config(),
            client_name='bedrock-runtime',
        ).provide()
        if configured:
            return check_base_url(configured, _CONFIGURED)
    loader = data_loader(configuration.get_config_variable('data_path'))
    rules = EndpointProvider(loader.load_data(_RULES), loader.load_data('partitions'))
    return rules.resolve_endpoint(
        Region=region_name,
        UseFIPS=is_on('use_fips_endpoint'),
        UseDualStack=is_on('use_dualstack_endpoint'),
    ).url


def _setting(name: str, config: AioConfig | None, session: Aioboto3Session | AioSession | None) -> Any:
    """Return an option of the config, or else of the session's default config; None if neither has it."""
    default = None if session is None else cast(Any, botocore_session(session)).get_default_client_config()
    return next((value for each in (config, default) if (value := getattr(each, name, None)) is not None), None)


def _configuration(profile_name: str | None, session: Aioboto3Session | AioSession | None) -> Any:
    if session is None:
        variables = tuple(os.getenv(name) for name in ('AWS_PROFILE', 'AWS_DEFAULT_PROFILE'))
        return _default_configuration(profile_name, variables, file_versions())
    return botocore_session(session)


@lru_cache(maxsize=32)
def _default_configuration(profile_name: str | None, *_versions: object) -> botocore.session.Session:
    # A session reads the environment whenever it is asked, but the configuration files only once.
    # Its handlers are a client's, and take most of the time that it takes to make.
    return botocore.session.Session(include_builtin_handlers=False, profile=profile_name)
