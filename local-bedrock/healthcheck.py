"""Ask for the health of the endpoint in a container, over HTTP, or over HTTPS if it serves that (`--tls`)."""

import ssl
import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection

PORT = 8080
SECONDS = 1.5

# Nothing is sent to this server, and nothing that it says is trusted: its authority is for the clients to check.
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE

connections = (
    HTTPConnection('127.0.0.1', PORT, timeout=SECONDS),
    HTTPSConnection('127.0.0.1', PORT, timeout=SECONDS, context=context),
)
for connection in connections:
    try:
        connection.request('GET', '/health')
        if connection.getresponse().status == 200:
            sys.exit(0)
    except (OSError, HTTPException):
        continue
    finally:
        connection.close()
sys.exit(1)
