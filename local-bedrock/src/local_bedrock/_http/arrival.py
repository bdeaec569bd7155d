"""The arrival of a body, bounded in size and time.

Nothing is unpacked: no operation takes a compressed body, and S3 stores bytes as they come.
"""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from local_bedrock.errors import ErrorReply, RefusedError
from local_bedrock.routing import Service

DEFAULT_BODY_BYTES = 128 * 1024 * 1024
"""The largest body by default.

Amazon documents five documents of 4.5 MB and 20 images of 3.75 MB for a request of Converse: 130 MB in Base64.
https://docs.aws.amazon.com/bedrock/latest/userguide/inference-api-restrictions.html (2026-11),
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html (2025-10).
"""

DEFAULT_RECEIVE_SECONDS = 60.0
"""The default bound on the arrival of the head of a request, and then of its body."""

# A smaller body costs less than to examine the request before it is read.
_SMALL = 64 * 1024


def is_small(http: web.BaseRequest) -> bool:
    """Return whether the body is announced to be so small that it may be read from any client."""
    if 'Transfer-Encoding' in http.headers:
        return False
    return (http.content_length or 0) <= _SMALL


async def receive(http: web.BaseRequest, service: Service, most_bytes: int, seconds: float) -> bytes:
    """Read a body.

    Args:
        http: The request.
        service: The service that it is for, in whose words it is refused.
        most_bytes: Size of the largest body that is read.
        seconds: How long it may take.

    Raises:
        RefusedError: The body is too large, takes too long, or is not framed as HTTP demands. The rest of it is not
            read.
    """
    if (http.content_length or 0) > most_bytes:
        raise _too_large(service, most_bytes)
    if http.headers.get('Expect', '').lower() == '100-continue':
        await http.writer.write(b'HTTP/1.1 100 Continue\r\n\r\n')
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while piece := await http.content.readany():
                size += len(piece)
                if size > most_bytes:
                    raise _too_large(service, most_bytes)
                pieces.append(piece)
    except TimeoutError:
        raise _too_slow(service, seconds) from None
    except (web.RequestPayloadError, HttpProcessingError) as error:
        raise RefusedError(ErrorReply(400, 'BadRequestException', f'Malformed body: {error}', origin='front')) from None
    return b''.join(pieces)


def _too_large(service: Service, most_bytes: int) -> RefusedError:
    if service == 's3':
        # https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html (2025-11)
        return RefusedError(
            ErrorReply(400, 'EntityTooLarge', 'Your proposed upload exceeds the maximum allowed object size.')
        )
    # No source has Bedrock's words.
    return RefusedError(
        ErrorReply(
            413,
            'RequestEntityTooLargeException',
            f'The request body is larger than {most_bytes} bytes, the max_body_bytes of LocalBedrock.',
            origin='front',
        )
    )


def _too_slow(service: Service, seconds: float) -> RefusedError:
    if service == 's3':
        # https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html (2025-11)
        return RefusedError(
            ErrorReply(
                400,
                'RequestTimeout',
                'Your socket connection to the server was not read from or written to within the timeout period.',
            )
        )
    return RefusedError(
        ErrorReply(
            408,
            'RequestTimeoutException',
            f'The request body did not arrive within {seconds:g} s, the receive_timeout of LocalBedrock.',
            origin='front',
        )
    )
