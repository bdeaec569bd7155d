"""No part of a user name or password survives redaction, whatever it is made of."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pydantic_ai_aiobedrock._config.redaction import redact_url, redact_urls

SECRET = 'S3CR3T'
DELIMITERS = st.text(st.sampled_from('/#?@:&= %\\[]\'"')) | st.text()
LOCATIONS = st.sampled_from(['proxy.example', 'proxy.example:3128', '[::1]:8080', 'proxy.example/'])
SCHEMES = st.sampled_from(['http://', 'HTTPS://', 'socks5h://', '//', ''])


@given(SCHEMES, DELIMITERS, DELIMITERS, DELIMITERS, LOCATIONS)
@example('', '', '//', '', 'proxy.example')
@example('http://', 'user', 'a://b', '@', 'proxy.example')
def test_no_user_name_and_no_password_is_left_of_a_url(
    scheme: str, user: str, before: str, after: str, location: str
) -> None:
    for authority in (f'{user}:{before}{SECRET}{after}', f'{before}{SECRET}{after}:{user}', f'{before}{SECRET}{after}'):
        shown = redact_url(f'{scheme}{authority}@{location}')
        assert SECRET not in shown
        assert shown.endswith(f'***@{location}')


@given(SCHEMES, st.text(st.characters(exclude_categories=['Z', 'C'])), LOCATIONS)
def test_no_password_is_left_of_a_message(scheme: str, password: str, location: str) -> None:
    url = f'{scheme}user:{password}{SECRET}{password}@{location}'
    for message in (url, f'Failed to parse: {url}, label empty', f'Proxy "{url}" of https://bedrock.example: no'):
        shown = redact_urls(message)
        assert SECRET not in shown
        assert f'***@{location}' in shown


@pytest.mark.parametrize(
    'text', ['http://proxy.example:3128', 'proxy.example:3128', 'https://[::1]:8000/path', '', '//']
)
def test_a_url_without_a_password_stays_as_it_is(text: str) -> None:
    assert redact_url(text) == redact_urls(text) == text


@pytest.mark.parametrize('mark', ['?', '#'])
def test_a_query_is_left_out(mark: str) -> None:
    assert redact_url(f'https://bedrock.example/{mark}token={SECRET}') == f'https://bedrock.example/{mark}***'
