"""A lean Bedrock: constant answers, framed as Bedrock frames them, on a raw asyncio protocol.

It checks nothing, unless it is told to refuse access keys. How it answers is set by `POST /_control`, which also gives
its counts: what the server knows of requests in flight and of streams that go on, whatever the client believes.

    python -m benchmarks.server --cpu 0

prints its port, and ends with its standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time
from dataclasses import asdict, dataclass, fields
from typing import Any
from urllib.parse import unquote

from benchmarks import answers
from benchmarks.pinning import pin
from benchmarks.probe import probe

BACKLOG = 4096


@dataclass
class Behaviour:
    """How requests are answered from now on."""

    delay: float = 0
    """Seconds before an answer begins."""
    deltas: int = 200
    """How many a stream has."""
    rate: float = 0
    """Deltas per second, each with the moment at which it is sent; 0 sends a whole stream at once."""
    hold: bool = False
    """Whether a stream stays open, silent, after its deltas."""
    cut: bool = False
    """Whether a stream that is sent at once ends in good order after its deltas, without its last events."""
    gate: bool = False
    """Whether requests are kept waiting until there is no gate any more."""
    access_key: str = ''
    """The only access key that is not refused, if not empty."""
    keep_body: bool = False
    """Whether the last request is kept, and shown with the counts."""
    quota: float = 0
    """Units per second that are admitted, above which requests are throttled; 0 is no quota."""
    burst: float = 1
    """Units that may be used at once."""
    reserved: float = 1
    """Units that a request takes when it begins."""
    used: float = 1
    """Units of those that it has used when it ends; the rest is given back."""


@dataclass
class Counts:
    """What the server has seen since the last reset, and what goes on now."""

    requests: int = 0
    first_request: float | None = None
    """When the first of them came, by `time.monotonic`, which all processes of a machine share."""
    refused: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    streaming: int = 0
    max_streaming: int = 0
    connections: int = 0
    connections_opened: int = 0
    throttled: int = 0
    throttled_late: int = 0
    """Those of them later than two seconds after the first request."""
    latest_tick: float = 0
    """By how many seconds a delta was sent too late, at worst."""


class Quota:
    """A token bucket."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._level = behaviour.burst
        self._then = time.monotonic()
        self.began: float | None = None

    def admits(self) -> bool:
        """Take what a request reserves, if it is there."""
        now = time.monotonic()
        if self.began is None:
            self.began = now
        behaviour = self._behaviour
        self._level = min(self._level + (now - self._then) * behaviour.quota, behaviour.burst)
        self._then = now
        if self._level < behaviour.reserved:
            return False
        self._level -= behaviour.reserved
        return True

    def give_back(self) -> None:
        """Give back what a request has not used."""
        unused = self._behaviour.reserved - self._behaviour.used
        self._level = min(self._level + unused, self._behaviour.burst)


class LeanBedrock:
    """What the connections share."""

    def __init__(self) -> None:
        self.behaviour = Behaviour()
        self.quota: Quota | None = None
        self.counts = Counts()
        self.last: tuple[str, bytes] = ('', b'')
        self.streaming: set[Connection] = set()
        self.waiting: set[Connection] = set()

    def control(self, message: dict[str, Any]) -> dict[str, Any]:
        """Take a new behaviour, or none, and give the counts."""
        if message.pop('reset', False):
            # Whoever is still listening would go on for hours.
            for connection in list(self.streaming):
                connection.hang_up()
            self.behaviour, self.quota = Behaviour(), None
            now = self.counts
            self.counts = Counts(
                in_flight=now.in_flight,
                max_in_flight=now.in_flight,
                streaming=now.streaming,
                connections=now.connections,
            )
        known = {field.name for field in fields(Behaviour)}
        if unknown := message.keys() - known:
            raise ValueError(f'unknown: {sorted(unknown)}')
        if message:
            self.behaviour = Behaviour(**message)
            self.quota = Quota(self.behaviour) if self.behaviour.quota else None
        if not self.behaviour.gate:
            waiting, self.waiting = self.waiting, set()
            for connection in waiting:
                connection.answer()
        report: dict[str, Any] = asdict(self.counts)
        if self.behaviour.keep_body:
            path, body = self.last
            report |= {'path': path, 'body': json.loads(body or b'null')}
        return report


class Connection(asyncio.Protocol):
    """One connection: requests one after the other, no pipelining."""

    def __init__(self, bedrock: LeanBedrock) -> None:
        self._bedrock = bedrock
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._needed = 0
        self._path = ''
        self._head = b''
        self._head_length = 0
        self._busy = False
        self._streaming = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        # A thousand streams of a few bytes each: nothing of what is written may wait for more.
        self._transport.set_write_buffer_limits(high=1 << 24)
        counts = self._bedrock.counts
        counts.connections += 1
        counts.connections_opened += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._bedrock.counts.connections -= 1
        if self._timer is not None:
            self._timer.cancel()
        self._end()

    def hang_up(self) -> None:
        """Break the connection, and with it the stream."""
        if self._timer is not None:
            self._timer.cancel()
        self._end()
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        if not self._needed:
            head_end = received.find(b'\r\n\r\n')
            if head_end < 0:
                return
            self._read_head(bytes(received[:head_end]))
            self._head_length = head_end + 4
            self._needed += self._head_length
        if len(received) < self._needed:
            return
        body = bytes(received[self._head_length : self._needed])
        del received[: self._needed]
        self._needed = 0
        self._respond(body)

    def _read_head(self, head: bytes) -> None:
        self._head = head
        self._path = head[: head.find(b'\r\n')].split(b' ')[1].decode()
        lower = head.lower()
        at = lower.find(b'\r\ncontent-length:')
        self._needed = int(lower[at + 17 :].split(b'\r\n', 1)[0]) if at >= 0 else 0
        if b'\r\nexpect: 100-continue' in lower:
            self._transport.write(b'HTTP/1.1 100 Continue\r\n\r\n')

    def _respond(self, body: bytes) -> None:
        if self._path.startswith('/_'):
            self._respond_to_driver(body)
            return
        bedrock = self._bedrock
        bedrock.counts.requests += 1
        if bedrock.counts.first_request is None:
            bedrock.counts.first_request = time.monotonic()
        if (quota := bedrock.quota) is not None and not quota.admits():
            bedrock.counts.throttled += 1
            bedrock.counts.throttled_late += time.monotonic() - (quota.began or 0) > 2
            of_tokens = bedrock.behaviour.reserved > 1
            self._transport.write(answers.THROTTLED_BY_TOKENS if of_tokens else answers.THROTTLED)
            return
        bedrock.counts.in_flight += 1
        bedrock.counts.max_in_flight = max(bedrock.counts.max_in_flight, bedrock.counts.in_flight)
        self._busy = True
        if bedrock.behaviour.keep_body:
            bedrock.last = (unquote(self._path), body)
        if bedrock.behaviour.gate:
            bedrock.waiting.add(self)
        elif bedrock.behaviour.delay:
            self._timer = self._loop.call_later(bedrock.behaviour.delay, self.answer)
        else:
            self.answer()

    def answer(self) -> None:
        """Answer the request that has been received."""
        behaviour = self._bedrock.behaviour
        if behaviour.access_key and b'Credential=%b/' % behaviour.access_key.encode() not in self._head:
            self._bedrock.counts.refused += 1
            self._transport.write(answers.REFUSED)
            self._end()
            return
        match self._path.rpartition('/')[2]:
            case 'converse':
                self._transport.write(answers.CONVERSE)
                self._end()
            case 'invoke':
                self._transport.write(answers.INVOKE)
                self._end()
            case 'converse-stream':
                self._start_stream(answers.CONVERSE_STREAM, behaviour)
            case 'invoke-with-response-stream':
                self._start_stream(answers.INVOKE_STREAM, behaviour)
            case _:
                self._transport.write(b'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n')
                self._end()

    def _start_stream(self, kind: answers.StreamKind, behaviour: Behaviour) -> None:
        if not behaviour.rate and not behaviour.hold:
            self._transport.write(kind.cut(behaviour.deltas) if behaviour.cut else kind.whole(behaviour.deltas))
            self._end()
            return
        self._streaming = True
        self._bedrock.streaming.add(self)
        counts = self._bedrock.counts
        counts.streaming += 1
        counts.max_streaming = max(counts.max_streaming, counts.streaming)
        self._transport.write(kind.head)
        self._left = behaviour.deltas
        self._tick(kind, behaviour, self._loop.time())

    def _tick(self, kind: answers.StreamKind, behaviour: Behaviour, due: float) -> None:
        now = time.monotonic()
        counts = self._bedrock.counts
        counts.latest_tick = max(counts.latest_tick, now - due)
        if self._left:
            self._left -= 1
            self._transport.write(kind.delta(answers.stamp(now)))
            if behaviour.rate:
                due += 1 / behaviour.rate
                self._timer = self._loop.call_at(due, self._tick, kind, behaviour, due)
            else:
                self._tick(kind, behaviour, due)
        elif not behaviour.hold:
            self._transport.write(kind.tail)
            self._end()

    def _end(self) -> None:
        self._bedrock.waiting.discard(self)
        if self._streaming:
            self._streaming = False
            self._bedrock.streaming.discard(self)
            self._bedrock.counts.streaming -= 1
        if self._busy:
            self._busy = False
            if self._bedrock.quota is not None:
                self._bedrock.quota.give_back()
            self._bedrock.counts.in_flight -= 1

    def _respond_to_driver(self, body: bytes) -> None:
        message = json.loads(body)
        if self._path == '/_probe':
            task = self._loop.create_task(probe(**message))
            task.add_done_callback(lambda done: self._write_json(done.result()))
        else:
            self._write_json(self._bedrock.control(message))

    def _write_json(self, value: Any) -> None:
        body = json.dumps(value).encode()
        head = f'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n'
        self._transport.write(head.encode() + body)


async def serve() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    bedrock = LeanBedrock()
    server = await loop.create_server(lambda: Connection(bedrock), '127.0.0.1', 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('--cpu', type=int)
    arguments = parser.parse_args()
    pin(arguments.cpu)
    # Nothing here is cyclic but what lives as long as the process; a collection would be a stall.
    gc.disable()
    asyncio.run(serve())
