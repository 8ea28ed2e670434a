"""A double of HashiCorp Vault, as far as Pulumi asks it: to encrypt and decrypt the key of a stack's secrets.

A passphrase, which needs no service, costs every process of the CLI a million rounds of hashing, as much as its
part of a preview.
"""

import base64
import json
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROVIDER = "hashivault://test"


@cache
def environment() -> dict[str, str]:
    """Where the CLI finds it. It serves from the first call on, on a free port, until the process ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Transit)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return {"VAULT_SERVER_URL": f"http://127.0.0.1:{server.server_port}", "VAULT_SERVER_TOKEN": "test"}


class _Transit(BaseHTTPRequestHandler):
    """`/v1/transit/encrypt/KEY` and `decrypt` (https://developer.hashicorp.com/vault/api-docs/secret/transit)."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "plaintext" in asked:
            data = {"ciphertext": _MARK + _turned(asked["plaintext"])}
        else:
            data = {"plaintext": _turned(asked["ciphertext"].removeprefix(_MARK))}
        reply = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class's name
        """Nobody reads it."""


_MARK = "vault:v1:"


def _turned(text: str) -> str:
    """Its own reverse: what is stored is not what was given."""
    return base64.b64encode(bytes(byte ^ 0xFF for byte in base64.b64decode(text))).decode()
