"""`fleet discover`: what is there, as lines of the file. It reads and changes nothing."""

import argparse
import os
import shutil

from infra.catalogue import load
from infra.commands import common
from infra.config.types import shown
from infra.discover import cluster, endpoint, machine, text
from infra.discover.model import Place
from infra.problem import error
from infra.stack import UnreadableError
from infra.visible import visible

HELP = "machines, GPUs and servers that are there already, as sites and pools to paste; it only reads"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `fleet discover`."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--context", metavar="NAME", help="the cluster of a context of kubectl's")
    which.add_argument(
        "--docker", metavar="HOST", nargs="?", const="", help="another machine, over ssh; default: this machine"
    )
    which.add_argument("--endpoint", metavar="URL", help="a running Ollama; a token is read from $FLEET_TOKEN")
    parser.add_argument("--ca", metavar="FILE", default="", help="whom the certificate of --endpoint is from")


def run(arguments: argparse.Namespace) -> int:
    """0. Raises UnreadableError where there is nothing to read."""
    catalogue = load()
    common.write(text.render(catalogue, _place(arguments)))
    return common.OK


def _place(arguments: argparse.Namespace) -> Place:
    catalogue = load()
    if arguments.endpoint is not None:
        try:
            ask = endpoint.asking(os.environ.get("FLEET_TOKEN", ""), arguments.ca)
            return endpoint.look(arguments.endpoint, ask)
        except (ValueError, OSError) as wrong:
            raise UnreadableError(
                error(
                    "--endpoint",
                    visible(str(wrong)),
                    "write it like https://ollama.example.org; --ca for a CA of its own",
                )
            ) from None
    if arguments.context is not None:
        return _cluster(arguments.context)
    if arguments.docker and arguments.docker.startswith("-"):
        raise UnreadableError(error("--docker", f"{shown(arguments.docker)} is no host", "name one as ssh does"))
    place = machine.look(catalogue, machine.beyond(arguments.docker) if arguments.docker else machine.here)
    if not place.machines[0].name:
        raise UnreadableError(
            error(
                "--docker",
                "the machine does not answer over ssh without a question",
                f"ssh {arguments.docker} true says why",
            )
        )
    return place


def _cluster(context: str) -> Place:
    if shutil.which("kubectl") is None:
        raise UnreadableError(error("kubectl", "it is not on PATH", "install kubectl, which asks the cluster"))
    kubectl = ["kubectl", f"--context={context}", "--request-timeout=20s", "get"]
    nodes = machine.here([*kubectl, "nodes", "-o", "json"])
    classes = machine.here([*kubectl, "runtimeclasses", "-o", "jsonpath={.items[*].metadata.name}"])
    try:
        return cluster.look(load(), context, nodes, classes)
    except ValueError:
        raise UnreadableError(
            error(
                "--context",
                f"kubectl lists no nodes of the context {shown(context)}",
                "kubectl config get-contexts lists them, and kubectl get nodes says what is wrong",
            )
        ) from None
