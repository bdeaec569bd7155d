"""The values of arguments, and the files that they name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from local_bedrock import AccessKey, ErrorReply, Quota, Reply
from local_bedrock._cli.certificates import served_over_tls
from local_bedrock._cli.inputs import access_keys, quota, replies


def test_access_keys_come_from_arguments_and_files(tmp_path: Path) -> None:
    file = tmp_path / 'keys'
    file.write_text('# of the tests\n\nAKIDB:secret-b:token-b\n  AKIDC:secret-c\n')
    assert access_keys(['AKIDA:secret-a', str(file)]) == {
        'AKIDA': AccessKey('AKIDA', 'secret-a'),
        'AKIDB': AccessKey('AKIDB', 'secret-b', 'token-b'),
        'AKIDC': AccessKey('AKIDC', 'secret-c'),
    }


def test_an_access_key_that_is_wrong_is_reported_without_it() -> None:
    with pytest.raises(ValueError, match='--credentials: must be') as caught:
        access_keys([':s3cret'])
    assert 's3cret' not in str(caught.value)


def test_a_quota_is_for_a_model_or_for_each() -> None:
    assert quota('us.amazon.nova-lite-v1:0=requests_per_minute:60, tokens_per_minute:1e5') == Quota(
        model='us.amazon.nova-lite-v1:0', requests_per_minute=60, tokens_per_minute=100_000
    )
    assert quota('*=requests_per_second:2,burst:5') == Quota(requests_per_second=2, burst=5)


@pytest.mark.parametrize(
    'content',
    [
        '["a", {"error": "ThrottlingException"}]',
        '"a"\n{"error": "ThrottlingException"}',
        '[\n"a",\n{"error": "ThrottlingException"}\n]',
    ],
)
def test_a_file_of_replies_is_json_or_json_lines(tmp_path: Path, content: str) -> None:
    file = tmp_path / 'replies'
    file.write_text(content)
    first, second = (scripted.reply for scripted in replies(str(file)))
    assert first == Reply('a')
    assert isinstance(second, ErrorReply)
    assert second.status == 429


def test_tls_without_trustme_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'trustme', None)
    with pytest.raises(ValueError, match=r'install local-bedrock\[tls\]'), served_over_tls('', '127.0.0.1'):
        pass
