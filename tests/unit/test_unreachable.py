"""Why an address is not reached."""

import errno
import ssl
import urllib.error

import pytest

from infra.unreachable import why

REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
HANDSHAKE = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)")
HANDSHAKE.reason = "WRONG_VERSION_NUMBER"
UNKNOWN = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate (_ssl.c:1006)")
UNKNOWN.verify_message = "self-signed certificate"


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (REFUSED, "Connection refused"),
        (urllib.error.URLError(REFUSED), "Connection refused"),
        (urllib.error.URLError("no host given"), "no host given"),
        (urllib.error.URLError(HANDSHAKE), "it does not speak TLS as it should: wrong version number"),
        (urllib.error.URLError(UNKNOWN), "its certificate is refused: self-signed certificate"),
        (TimeoutError("timed out"), "timed out"),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
)
def test_why_an_address_is_not_reached_is_said_without_the_system_s_numbers(failure: OSError, said: str) -> None:
    assert why(failure) == said
