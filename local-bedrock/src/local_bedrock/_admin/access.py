"""Access to the admin API: open on loopback, with an API key elsewhere, and never for a page in a browser."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web

from local_bedrock.keys import Keyring

_PAGE = 'A page in a browser cannot use the admin API: leave out the Origin header.'
_HOST = 'The admin API of an endpoint on loopback is for requests to localhost: Host was {host!r}.'
_KEY = (
    'The admin API needs the header "Authorization: Bearer KEY", with an API key of the endpoint, '
    'because the endpoint does not listen on loopback.'
)


def is_loopback(host: str) -> bool:
    """Return True if a host name or address is this machine's own, by its looks: no name is resolved."""
    if host == 'localhost' or host.endswith('.localhost'):
        return True
    try:
        return ipaddress.ip_address(host.strip('[]')).is_loopback
    except ValueError:
        return False


def refusal(http: web.BaseRequest, base_url: str, keyring: Keyring) -> str | None:
    """Return the reason to refuse a request, if there is a reason.

    Args:
        http: The request.
        base_url: URL of the endpoint: its host is the address that it listens on.
        keyring: The API keys that are accepted if that address is not on loopback.
    """
    if 'Origin' in http.headers:
        return _PAGE
    if is_loopback(urlsplit(base_url).hostname or ''):
        # A page may have its name resolved to loopback.
        host = urlsplit(f'//{http.headers.get("Host", "")}').hostname or ''
        return None if is_loopback(host) else _HOST.format(host=host)
    scheme, _, token = http.headers.get('Authorization', '').partition(' ')
    accepted = keyring.api_keys - keyring.expired_api_keys
    return None if scheme.lower() == 'bearer' and token.strip() in accepted else _KEY
