"""TLS at the door, from a mounted kubernetes.io/tls Secret: Envoy reads it anew when it is swapped."""

import ssl
from pathlib import Path

from router.extension import Config, extension, typed
from router.mounted import Files

FILE = "certificate.json"
CHAIN, PRIVATE = "tls.crt", "tls.key"


class Pair:
    """The mounted certificate and its key; none where `folder` is empty."""

    def __init__(self, folder: str) -> None:
        self._files = (Path(folder) / CHAIN, Path(folder) / PRIVATE) if folder else ()
        self._watched = Files(*self._files)
        self.fault = ""
        """Why the pair cannot serve; empty where it can. Nothing of the key is in it."""

    def look(self) -> bool:
        """Whether it is another one than at the last look."""
        if not self._watched.changed():
            return False
        self.fault = _fault(*self._files) if self._files else ""
        return True


def _fault(chain: Path, private: Path) -> str:
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(chain, private, password="")
    except FileNotFoundError:
        return f"the TLS Secret has no {CHAIN} or no {PRIVATE}"
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        return f"{CHAIN} and {PRIVATE} of the TLS Secret are no pair that can serve: {reason}"
    return ""


def socket(directory: str) -> Config:
    """The `transport_socket` of the door."""
    secret = {
        "name": "door",
        "sds_config": {"resource_api_version": "V3", "path_config_source": {"path": f"{directory}/{FILE}"}},
    }
    return extension(
        "envoy.transport_sockets.tls",
        "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "tls_certificate_sds_secret_configs": [secret],
        },
    )


def secret(folder: str) -> Config:
    """The content of FILE: where the pair is, and which folder is swapped when it changes."""
    files = (("certificate_chain", CHAIN), ("private_key", PRIVATE))
    return typed(
        "extensions.transport_sockets.tls.v3.Secret",
        name="door",
        tls_certificate={
            **{part: {"filename": f"{folder}/{name}"} for part, name in files},
            "watched_directory": {"path": folder},
        },
    )
