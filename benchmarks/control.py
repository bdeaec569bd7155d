"""Talks to the lean server about itself, from a worker: on the loop, so that a busy one is not held up further."""

from __future__ import annotations

import asyncio
import json
from typing import Any


class Control:
    """Sets how the server answers, and gives its counts."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f'http://127.0.0.1:{port}'

    async def __call__(self, path: str = '/_control', /, **message: Any) -> Any:
        reader, writer = await asyncio.open_connection('127.0.0.1', self.port)
        body = json.dumps(message).encode()
        writer.write(b'POST %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b' % (path.encode(), len(body), body))
        head = await reader.readuntil(b'\r\n\r\n')
        length = int(head.lower().split(b'content-length:')[1].split(b'\r\n')[0])
        answer = json.loads(await reader.readexactly(length))
        writer.close()
        return answer
