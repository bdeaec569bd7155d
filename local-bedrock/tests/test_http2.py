"""Clients that begin with HTTP/2 are refused in their own protocol, and the log names the mend."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import trustme

from local_bedrock import LocalBedrock
from local_bedrock._http.http2 import ADVICE

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))


@contextmanager
def connected(bedrock: LocalBedrock) -> Iterator[socket.socket]:
    url = urlsplit(bedrock.base_url)
    with socket.create_connection((str(url.hostname), int(url.port or 0)), timeout=10) as connection:
        yield connection


def everything(connection: socket.socket) -> bytes:
    return b''.join(iter(lambda: connection.recv(65536), b''))


def frames(received: bytes) -> list[tuple[int, bytes]]:
    """Return type and payload of each frame."""
    found: list[tuple[int, bytes]] = []
    while received:
        length = int.from_bytes(received[:3], 'big')
        found.append((received[3], received[9 : 9 + length]))
        received = received[9 + length :]
    return found


def must_be_refused(received: bytes) -> None:
    (settings, empty), (goaway, payload) = frames(received)
    assert (settings, empty) == (4, b'')
    # GOAWAY: no stream was processed, HTTP_1_1_REQUIRED, the advice.
    assert (goaway, payload[:8]) == (7, bytes((0, 0, 0, 0, 0, 0, 0, 0xD)))
    assert payload[8:].decode() == ADVICE


def test_a_connection_preface_is_refused_at_once(served: LocalBedrock, caplog: pytest.LogCaptureFixture) -> None:
    with connected(served) as connection:
        connection.sendall(PREFACE)
        must_be_refused(everything(connection))
    assert caplog.record_tuples == [('local_bedrock', logging.WARNING, ADVICE)]
    assert 'NodeHttpHandler' in ADVICE
    assert served.requests == []


def test_a_preface_that_comes_in_pieces_is_refused(served: LocalBedrock) -> None:
    with connected(served) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (PREFACE[:1], PREFACE[1:2], PREFACE[2:]):
            connection.sendall(piece)
        must_be_refused(everything(connection))


def test_a_preface_over_tls_is_refused(authority: trustme.CA) -> None:
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert('127.0.0.1').configure_cert(server)
    authority.configure_trust(client)
    with (
        LocalBedrock(tls=server) as bedrock,
        connected(bedrock) as plain,
        client.wrap_socket(plain, server_hostname='127.0.0.1') as connection,
    ):
        connection.sendall(PREFACE)
        must_be_refused(everything(connection))


def test_a_method_that_begins_like_the_preface_is_http_1(served: LocalBedrock) -> None:
    with connected(served) as connection:
        for piece in (b'P', b'UT /_local/quotas HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n', b'\r\n'):
            connection.sendall(piece)
        assert connection.recv(65536).startswith(b'HTTP/1.1 200 ')


def test_a_connection_that_ends_before_it_is_decided_is_forgotten(served: LocalBedrock) -> None:
    with connected(served) as connection:
        connection.sendall(b'P')
        connection.shutdown(socket.SHUT_WR)
        assert everything(connection) == b''
