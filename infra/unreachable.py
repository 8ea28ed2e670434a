"""Why an address is not reached, in the system's words without its numbers."""

import ssl
import urllib.error


def why(failure: BaseException) -> str:
    """`Connection refused`, `self-signed certificate`, `Name or service not known`; never `[Errno 111]`."""
    reason = failure.reason if isinstance(failure, urllib.error.URLError) else failure
    match reason:
        case ssl.SSLCertVerificationError():
            return f"its certificate is refused: {reason.verify_message}"
        case ssl.SSLError() if reason.reason:
            return f"it does not speak TLS as it should: {reason.reason.replace('_', ' ').lower()}"
        case OSError() if reason.strerror:
            return reason.strerror
    return str(reason) or type(reason).__name__
