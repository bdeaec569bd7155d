"""A Security Token Service on loopback that gives the temporary access key of the table to whoever asks."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

_ANSWER = """<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <{action}Result>
    <Credentials>
      <AccessKeyId>AKIDTEMPORARY</AccessKeyId>
      <SecretAccessKey>temporary-secret</SecretAccessKey>
      <SessionToken>temporary-token</SessionToken>
      <Expiration>2099-01-01T00:00:00Z</Expiration>
    </Credentials>
    <AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/reader/me</Arn><AssumedRoleId>AROA:me</AssumedRoleId></AssumedRoleUser>
  </{action}Result>
  <ResponseMetadata><RequestId>sts</RequestId></ResponseMetadata>
</{action}Response>
"""


class SecurityTokenService(ThreadingHTTPServer):
    """Answers AssumeRole and AssumeRoleWithWebIdentity, and remembers what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(('127.0.0.1', 0), _Handler)
        self.asked: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f'http://127.0.0.1:{self.server_port}'


class _Handler(BaseHTTPRequestHandler):
    server: SecurityTokenService  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers['Content-Length'])).decode()
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        # botocore makes up a name by the time of day.
        if asked.get('RoleSessionName', '').startswith('botocore-session-'):
            asked['RoleSessionName'] = 'botocore-session'
        self.server.asked.append(asked)
        answer = _ANSWER.format(action=asked['Action']).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'text/xml')
        self.send_header('Content-Length', str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the output of the tests to the tests."""
