"""An HTTP server that refuses everything, and any server of the standard library in a thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class Refusing(BaseHTTPRequestHandler):
    """A proxy that lets nothing through."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers['content-length']))
        self.send_response(403)
        self.send_header('content-length', '16')
        self.end_headers()
        self.wfile.write(b'<p>Forbidden</p>')

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as proxy:
        thread = Thread(target=proxy.serve_forever, kwargs={'poll_interval': 0.01})
        thread.start()
        try:
            yield f'http://127.0.0.1:{proxy.server_port}'
        finally:
            proxy.shutdown()
            thread.join()
