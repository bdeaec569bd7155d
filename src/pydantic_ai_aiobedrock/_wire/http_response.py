"""Incremental parser of the response to a request: bytes in; status, headers and pieces of the body out; no I/O."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from httptools import HttpParserCallbackError, HttpParserError, HttpResponseParser

__all__ = ['HEAD_BYTES', 'HttpResponseError', 'ResponseParser', 'is_interim', 'not_final']

HEAD_BYTES: Final = 256 * 1024
"""A response of which so many bytes come without any of its body between them is given up: of interim responses, its
headers, the extensions of a chunk, or its trailers."""


class HttpResponseError(ValueError):
    """The bytes are not a response of HTTP/1.1, or one that nothing was asked for."""


def is_interim(status: int) -> bool:
    """Return whether a response only announces another: 100 Continue and its kin, but not 101, which ends HTTP."""
    return 100 <= status < 200 and status != 101


def not_final(status: int) -> str:
    """Describe a status that comes instead of a final response, though it announces none."""
    return f'its status is {status}'


class ResponseParser:
    """Parses the final response to one request.

    Interim responses are passed over, and trailers left out.

    Attributes:
        status: The status code, 200 or above, or 0 until the headers are complete.
        fields: The headers, by their names in lower case; of several with one name, the last.
        body: Pieces of the body that nobody has taken yet.
        is_complete: True once the body has come to its end.
        is_reusable: True if another request may follow on the connection; only after the end.
    """

    __slots__ = ('_bytes_between', '_parser', 'body', 'fields', 'is_complete', 'is_reusable', 'on_body', 'status')

    def __init__(self) -> None:
        self.status = 0
        self.fields: dict[str, str] = {}
        self.body: list[bytes] = []
        self.is_complete = False
        self.is_reusable = False
        self._bytes_between = 0
        # Called for each piece, and each event of a stream is one.
        self.on_body: Callable[[bytes], None] = self.body.append
        # None once there is no more to come: it refers to this object.
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        # Like aiohttp's own, which is the same parser of C.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the connection.

        Raises:
            HttpResponseError: They are none of a response. It is not raised for what follows a complete response, whose
                connection is then not to be used again.
        """
        if (parser := self._parser) is None:
            self.is_reusable = False
            return
        try:
            parser.feed_data(data)
        except HttpParserError as error:
            if not self.is_complete:
                self.close()
                # The parser wraps what was raised while it called back.
                reason = str(error.__context__ if isinstance(error, HttpParserCallbackError) else error)
                raise HttpResponseError(reason) from error
            self.is_reusable = False
        if self.is_complete:
            self.close()
        elif self.body:
            self._bytes_between = 0
        else:
            self._bytes_between += len(data)
            if self._bytes_between > HEAD_BYTES:
                self.close()
                part = 'trailers' if self.status else 'headers'
                raise HttpResponseError(f'its {part} are longer than {HEAD_BYTES} bytes')

    def end(self) -> bool:
        """Take the end of the connection; return whether it is the end of the response, too."""
        self.close()
        coding = self.fields.get('transfer-encoding', '').lower()
        if self.status and 'content-length' not in self.fields and not coding.endswith('chunked'):
            self.is_complete = True
        return self.is_complete

    def close(self) -> None:
        """Parse no more."""
        self._parser = None

    # What the parser calls

    def on_message_begin(self) -> None:
        if self.is_complete:
            raise HttpResponseError('Another response follows')

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:
            # The parser takes off the white space before it.
            self.fields[_field_name(name)] = value.decode('latin-1').rstrip(' \t')

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        if is_interim(status):
            self.fields.clear()
        elif status < 200:
            raise HttpResponseError(not_final(status))
        else:
            self.status = status

    def on_message_complete(self) -> None:
        assert self._parser is not None
        if self.status:
            self.is_complete = True
            self.is_reusable = self._parser.should_keep_alive()


@lru_cache(maxsize=256)
def _field_name(name: bytes) -> str:
    return name.decode('latin-1').lower()
