"""The keys that an endpoint accepts: AWS access keys and API keys, and which of them have expired."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

AuthScheme = Literal['sigv4', 'bearer']
"""A way to authenticate: an AWS Signature Version 4, or a bearer token."""


@dataclass(frozen=True)
class AccessKey:
    """An AWS access key, with a session token if it is temporary."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    @classmethod
    def make(cls, *, temporary: bool = False) -> AccessKey:
        """Make a key that cannot be mistaken for a real key."""
        return cls(
            f'AKIDLOCALBEDROCK{secrets.token_hex(2).upper()}',
            f'local-bedrock-secret-{secrets.token_hex(8)}',
            f'local-bedrock-session-{secrets.token_hex(16)}' if temporary else None,
        )


@dataclass
class Keyring:
    """Access keys and API keys that the endpoint accepts, and those that have expired."""

    access_keys: dict[str, AccessKey]
    api_keys: set[str]
    expired_access_keys: set[str] = field(default_factory=set[str])
    expired_api_keys: set[str] = field(default_factory=set[str])
    latest_access_key: AccessKey | None = None
    latest_api_key: str | None = None

    @classmethod
    def of(cls, credentials: Mapping[str, str | AccessKey] | None, api_keys: Collection[str] | None) -> Keyring:
        """Build a keyring from access key ids with their secrets, and API keys; missing keys are made up."""
        made = AccessKey.make()
        given = {made.access_key_id: made} if credentials is None else credentials
        tokens = [f'bedrock-api-key-local-{made.access_key_id.lower()}'] if api_keys is None else list(api_keys)
        keys = [
            key if isinstance(key, AccessKey) else AccessKey(access_key_id, key) for access_key_id, key in given.items()
        ]
        return cls(
            {key.access_key_id: key for key in keys},
            set(tokens),
            latest_access_key=next(iter(keys), None),
            latest_api_key=next(iter(tokens), None),
        )

    def __repr__(self) -> str:
        return f'<Keyring: {len(self.access_keys)} access keys, {len(self.api_keys)} API keys>'

    def copy(self) -> Keyring:
        """Return a keyring that changes on its own."""
        return Keyring(
            dict(self.access_keys),
            set(self.api_keys),
            set(self.expired_access_keys),
            set(self.expired_api_keys),
            self.latest_access_key,
            self.latest_api_key,
        )

    def accept(self, key: AccessKey) -> None:
        """Accept another access key, or a new secret of a known key, as the latest."""
        self.access_keys[key.access_key_id] = key
        self.expired_access_keys.discard(key.access_key_id)
        self.latest_access_key = key

    def expire(self, *names: str) -> None:
        """Let these access key ids and API keys expire, as far as they are accepted."""
        self.expired_access_keys.update(name for name in names if name in self.access_keys)
        self.expired_api_keys.update(name for name in names if name in self.api_keys)

    def revoke(self, *names: str) -> None:
        """Forget these access key ids and API keys."""
        for name in names:
            self.access_keys.pop(name, None)
            self.api_keys.discard(name)

    def rotate_access_key(self, *, temporary: bool) -> AccessKey:
        """Accept a new access key, and let all others expire."""
        retired = list(self.access_keys)
        made = AccessKey.make(temporary=temporary)
        self.accept(made)
        self.expire(*(name for name in retired if name != made.access_key_id))
        return made

    def rotate_api_key(self) -> str:
        """Accept a new API key, and let all others expire."""
        self.expire(*self.api_keys)
        self.latest_api_key = f'bedrock-api-key-local-{AccessKey.make().secret_access_key}'
        self.api_keys.add(self.latest_api_key)
        return self.latest_api_key
