"""Certificates that sign themselves, for servers of loopback."""

import shutil
import subprocess
from pathlib import Path

import pytest

KEY, CERTIFICATE, BOTH = "key.pem", "certificate.pem", "both.pem"


def self_signed(folder: Path, name: str = "localhost") -> Path:
    """A certificate for `name` and its key, in one file of the folder; beside it each in its own."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on PATH, which makes the test's certificate")
    command = [
        *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
        *("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", KEY, "-out", CERTIFICATE),
    ]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=30)
    both = folder / BOTH
    both.write_text((folder / KEY).read_text() + (folder / CERTIFICATE).read_text())
    return both


def tls_secret(folder: Path, name: str = "localhost") -> dict[str, str]:
    """The content of a TLS Secret for `name`; the folder is made."""
    folder.mkdir()
    self_signed(folder, name)
    return {"tls.key": (folder / KEY).read_text(), "tls.crt": (folder / CERTIFICATE).read_text()}
