"""What of prepare.sh needs no Ollama: its style, its draining, and the words it finds for what Ollama says."""

import re
import socket
import subprocess
import time
from pathlib import Path

import pytest

from infra.local.ports import free_ports
from infra.plan.model import Prepared
from prepare import scripts
from prepare.definitions import SHELL
from tests.models.pod import Pod

# It says what a case gives it to a pull, and otherwise what a server's client says.
STAND_IN = """#!/bin/sh
case $1 in
serve) echo "$$" >"$OLLAMA_MODELS/serving"; exec sleep 60 ;;
list) [ -f "$OLLAMA_MODELS/serving" ] ;;
pull) printf '\\033[?25lpulling manifest \\033[K\\n\\033[?25hError: %s\\n' "$SAYS" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> Pod:
    program = tmp_path / "ollama"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    return Pod(tmp_path / "pod", program)


def test_shellcheck_finds_nothing(shellcheck: str) -> None:
    # from the script that is called: what another file sets is known then
    command = [shellcheck, "--external-sources", "--check-sourced", "-s", "sh", "prepare/shell/prepare.sh"]
    done = subprocess.run(command, cwd=SHELL.parents[1], capture_output=True, text=True, check=False)
    assert done.stdout == ""


# Texts of Go's net and crypto/x509 packages, of the kernel, and of Ollama 0.17.4 (server/images.go, server/auth.go).
@pytest.mark.parametrize(
    ("says", "code", "begins"),
    [
        (
            'Get "https://r.example/v2/": dial tcp 10.1.2.3:443: connect: connection refused',
            10,
            "registry not reachable",
        ),
        ('Get "https://r.example/v2/": dial tcp 10.1.2.3:443: i/o timeout', 10, "registry not reachable"),
        ("max retries exceeded: unexpected EOF", 10, "registry not reachable"),
        ('Get "https://r.example/": dial tcp: lookup r.example on 10.0.0.10:53: no such host', 11, "the name of"),
        ('Get "https://r.example/": dial tcp: lookup r.example on 10.0.0.10:53: server misbehaving', 11, "the name of"),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", 12, "TLS to the registry"),
        ("pull model manifest: 401: {}", 13, "the registry refuses"),
        ("pull model manifest: file does not exist", 14, "the registry does not know"),
        ("write /models/blobs/sha256-00-partial: no space left on device", 15, "disk full at"),
        ("pull model manifest: 412: ", 16, "this Ollama is too old"),
        ("pull model manifest: invalid character '<' looking for beginning of value", 29, "m failed: "),
    ],
)
def test_each_kind_of_failure_has_its_own_code_and_one_line(stand_in: Pod, says: str, code: int, begins: str) -> None:
    stand_in.mount(Prepared(name="m", action="pull", source="m"))
    run = stand_in.init(SAYS=says, PULL_TRIES="1")
    assert run.code == code, run.output
    assert run.message.startswith(begins)
    assert run.message.count("\n") == 1
    assert run.message in run.output
    assert "\033" not in run.output


def test_a_server_that_does_not_start_is_named_with_its_last_words(stand_in: Pod) -> None:
    (stand_in.root / "bin" / "ollama").unlink()
    broken = stand_in.root / "bin" / "ollama"
    broken.write_text("#!/bin/sh\necho 'Error: listen tcp 127.0.0.1:11434: bind: address already in use'\nexit 1\n")
    broken.chmod(0o755)
    stand_in.mount(Prepared(name="m", action="pull", source="m"))
    run = stand_in.init()
    assert run.code == 20, run.output
    assert "address already in use" in run.message


def test_a_termination_log_that_cannot_be_written_changes_no_exit_code(stand_in: Pod) -> None:
    stand_in.mount(Prepared(name="m", action="pull", source="m"))
    run = stand_in.init(SAYS="pull model manifest: file does not exist", TERMINATION_LOG="/nowhere/log")
    assert run.code == 14, run.output
    assert "cannot write /nowhere/log" in run.output


def test_a_lock_that_cannot_be_opened_does_not_end_the_script_without_a_word(stand_in: Pod) -> None:
    """As on a store that has become read-only: dash ends where its own exec fails."""
    (stand_in.store / "ollama-fleet" / "lock").mkdir(parents=True)
    stand_in.mount(Prepared(name="m", action="pull", source="m"))
    run = stand_in.init(SAYS="pull model manifest: file does not exist")
    assert run.code == 14, run.output
    assert "does not know m" in run.message


@pytest.mark.parametrize("arguments", [(), ("inti",), ("drain",), ("drain", "soon")])
def test_wrong_arguments_are_answered_with_the_usage(arguments: tuple[str, ...]) -> None:
    command = ["sh", SHELL / "prepare.sh", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    usage = "usage: prepare.sh init | serve | alone | watch | started | ready | healthy | verify | drain LIMIT\n"
    assert (done.returncode, done.stderr) == (2, usage)


def test_every_script_that_is_read_is_mounted_and_none_is_left_over() -> None:
    read = re.findall(r'^\. "\$here/(.*)"$', scripts()["prepare.sh"], re.MULTILINE)
    assert sorted([*read, "prepare.sh"]) == sorted(scripts())


def test_draining_ends_when_the_last_peer_has_gone_and_at_the_limit(stand_in: Pod) -> None:
    one, other, third = free_ports(3)
    start = time.monotonic()
    with (
        socket.create_server(("::1", one), family=socket.AF_INET6),
        socket.create_server(("127.0.0.1", other)),
        socket.create_connection(("::1", one)) as leaves,
        socket.create_connection(("127.0.0.1", other)),
        stand_in.running("drain", "20", OLLAMA_HOST=f"0.0.0.0:{one}") as patient,
        stand_in.running("drain", "7", OLLAMA_HOST=f"0.0.0.0:{other}") as limited,
        stand_in.running("drain", "20", OLLAMA_HOST=f"0.0.0.0:{third}") as idle,
    ):
        assert idle.process.wait(7) == 0
        assert time.monotonic() - start > 4.5
        assert patient.process.poll() is None
        leaves.close()
        assert patient.process.wait(3) == 0
        assert limited.process.wait(5) == 0
        assert time.monotonic() - start > 6
        assert "drain: 1 still connected after 7 s" in limited.output
        assert "still connected" not in patient.output


def test_no_two_functions_have_one_name() -> None:
    """The later file would take the earlier one's place: a model that had to be verified was once not looked at."""
    names = [name for file in SHELL.glob("*.sh") for name in re.findall(r"(?m)^(\w+)\(\)", file.read_text())]
    assert sorted(names) == sorted(set(names))
