"""The shell in the driver's DaemonSet, run here against recorded contents of /proc/driver/nvidia/version."""

import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "components" / "scripts"
# Synthetic, in the two forms that NVIDIA's drivers print.
PROPRIETARY = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Wed Jan  7 22:59:20 UTC 2026\nGCC version:  gcc 12.2\n"
)
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build  (dvs-builder@U22)  Wed Jan  7\n"


def verify(folder: Path, content: str | None, expected: str) -> tuple[int, str]:
    """(exit status, termination message)."""
    version, message = folder / "version", folder / "message"
    if content is not None:
        version.write_text(content)
    environment = {
        "PATH": "/usr/bin:/bin",
        "DRIVER_EXPECTED": expected,
        "DRIVER_WAIT_SECONDS": "0",
        "DRIVER_VERSION_FILE": str(version),
        "TERMINATION_LOG": str(message),
    }
    done = subprocess.run(
        ["/bin/sh", str(SCRIPTS / "verify_driver.sh")], env=environment, capture_output=True, timeout=30, check=False
    )
    return done.returncode, message.read_text() if message.exists() else ""


@pytest.mark.parametrize("form", [PROPRIETARY, OPEN])
def test_the_planned_branch_is_accepted_in_both_flavours(tmp_path: Path, form: str) -> None:
    assert verify(tmp_path, form.format("580.126.09"), "580.") == (0, "")


def test_the_planned_exact_version_is_accepted(tmp_path: Path) -> None:
    assert verify(tmp_path, PROPRIETARY.format("470.256.02"), "470.256.02") == (0, "")


@pytest.mark.parametrize(
    ("loaded", "expected"), [("535.288.01", "580."), ("58.0.1", "580."), ("580.95.05", "580.126.09")]
)
def test_another_driver_is_refused_with_both_values(tmp_path: Path, loaded: str, expected: str) -> None:
    status, message = verify(tmp_path, PROPRIETARY.format(loaded), expected)
    assert status == 1
    assert loaded in message
    assert expected in message


def test_a_node_without_driver_says_so(tmp_path: Path) -> None:
    status, message = verify(tmp_path, None, "580.")
    assert status == 1
    assert "no NVIDIA driver is loaded" in message
