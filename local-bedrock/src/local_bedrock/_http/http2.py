"""HTTP/2, which the endpoint does not speak: a client that begins with it is refused in its own protocol.

The AWS SDK for JavaScript speaks HTTP/2 to Bedrock Runtime without asking, over plain TCP, too.
"""

from __future__ import annotations

import struct

ADVICE = (
    'LocalBedrock speaks HTTP/1.1, and a client began with HTTP/2. The AWS SDK for JavaScript does so by default: '
    'give its client "requestHandler: new NodeHttpHandler()" from @smithy/node-http-handler.'
)
# The first line of the connection preface, https://www.rfc-editor.org/rfc/rfc9113#section-3.4. No method of HTTP/1.1
# begins so.
_PREFACE = b'PRI'
_SETTINGS, _GOAWAY = 4, 7
_HTTP_1_1_REQUIRED = 0xD


def _frame(kind: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, 'big') + bytes((kind, 0)) + bytes(4) + payload


REFUSAL = _frame(_SETTINGS, b'') + _frame(_GOAWAY, struct.pack('>II', 0, _HTTP_1_1_REQUIRED) + ADVICE.encode())
"""The frames that end such a connection: settings, which come first, and GOAWAY with the advice as debug data."""


def begins_http2(data: bytes) -> bool | None:
    """Return whether the first bytes of a connection are HTTP/2; None while they are too few to decide."""
    if len(data) < len(_PREFACE) and _PREFACE.startswith(data):
        return None
    return data.startswith(_PREFACE)
