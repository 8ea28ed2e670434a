"""`fleet status`: what the door says of its fleet, and why a pool is not ready. Changes nothing."""

import argparse
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

from infra.commands import common
from infra.problem import error
from infra.report import status as report
from infra.report.text import page
from infra.stack import UnreadableError
from infra.unreachable import why
from infra.visible import visible

HELP = "what the door says of its fleet: pools, replicas, models, and why a pool is not ready"
PATH = "/fleet/status.json"
LOCAL = "http://127.0.0.1:8080"
URL, KEY = "FLEET_URL", "FLEET_API_KEY"
KEYS = (
    "`pulumi stack output --show-secrets apiKeys` prints the keys of a stack, `fleet local` prints its own, and a "
    "door by Docker has them in secrets/key-NAME"
)
PATIENCE = 15.0
STACK_PATIENCE = 60.0
LARGEST = 64 * 2**20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `fleet status`."""
    common.add_stack_option(parser)
    parser.add_argument("--url", help=f"of the door; default: ${URL}, else {LOCAL}, where a port-forward leads")
    parser.add_argument("--ca", metavar="FILE", help="authority of the door's certificate, where the system has none")
    parser.add_argument(
        "--format", choices=["text", "json"], default="text", help="text for a terminal; json for programs"
    )


def run(arguments: argparse.Namespace) -> int:
    """0; 1 where a pool is down or a map refused; 2 where the door does not tell."""
    url = (arguments.url or os.environ.get(URL) or LOCAL).rstrip("/")
    key = os.environ.get(KEY) or None
    found = _ask(url, key, arguments.ca)
    if found is None and key is None and (key := _key_of_stack(arguments)) is not None:
        found = _ask(url, key, arguments.ca)
    if found is None:
        cause = "this key is not known there" if key else "it asks for a key"
        raise UnreadableError(error(url, cause, f"set {KEY}: {KEYS}"))
    try:
        verdict = report.unready(found)
        text = page(lambda width, color: report.render(found, url=url, width=width, color=color))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UnreadableError(_no_door(url, f"{PATH} is not what a door answers")) from None
    common.write(json.dumps(found, indent=2) + "\n" if arguments.format == "json" else text)
    return common.ERRORS if verdict else common.OK


def _ask(url: str, key: str | None, authority: str | None) -> Any:
    """The status; None where the door wants a (or another) key. Raises UnreadableError where there is no answer."""
    if not url.startswith(("http://", "https://")):
        raise UnreadableError(error("--url", f"{visible(url)} is not the address of a door", f"write it like {LOCAL}"))
    if key and not re.fullmatch(r"[\x21-\x7e]+", key):
        raise UnreadableError(error(KEY, "it has more in it than visible ASCII characters", "set it to the key alone"))
    try:
        context = ssl.create_default_context(cafile=authority)
    except OSError as failure:
        cause = failure.strerror or "it holds no certificate"
        raise UnreadableError(error("--ca", f"{visible(str(authority))}: {cause}", "name a file in PEM form")) from None
    try:
        request = urllib.request.Request(url + PATH, headers={"authorization": f"Bearer {key}"} if key else {})
        # an address that redirects would be given the key
        opener = urllib.request.build_opener(_NoRedirect(), urllib.request.HTTPSHandler(context=context))
        with opener.open(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read(LARGEST)) or {}
    except urllib.error.HTTPError as refused:
        if refused.code == http.client.UNAUTHORIZED:
            return None
        raise UnreadableError(_no_door(url, f"it answers {refused.code} to {PATH}")) from None
    except (OSError, http.client.HTTPException) as failure:
        raise UnreadableError(_no_door(url, f"it cannot be reached: {why(failure)}")) from None
    except ValueError:
        raise UnreadableError(_no_door(url, f"{PATH} is not what a door answers")) from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Never."""


def _no_door(url: str, cause: str) -> Any:
    return error(
        visible(url),
        visible(cause),
        f"--url or {URL} says where the door is; for one in a cluster: "
        "kubectl -n ollama port-forward service/ollama-router 8080:80",
    )


def _key_of_stack(arguments: argparse.Namespace) -> str | None:
    """A key from the outputs of the stack: `everyone` where there is one, else the first. None without Pulumi or stack.

    The key goes from Pulumi to the door and is never shown.
    """
    pulumi = shutil.which("pulumi")
    stack = arguments.stack or os.environ.get("STACK")
    if pulumi is None:
        return None
    command = [pulumi, "stack", "output", "apiKeys", "--show-secrets", "--json", "--non-interactive"]
    try:
        done = subprocess.run(
            [*command, *(("--stack", stack) if stack else ())],
            cwd=arguments.cwd,
            capture_output=True,
            timeout=STACK_PATIENCE,
            check=False,
        )
        keys = json.loads(done.stdout) if done.returncode == 0 else {}
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    if not isinstance(keys, dict) or not keys:
        return None
    sys.stderr.write("with a key of the stack's outputs\n")
    return str(keys.get("everyone") or keys[min(keys)])
