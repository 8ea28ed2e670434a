"""The fleet's own clients of its door: the chat page, and the load test that waits to be started."""

import math
from collections.abc import Iterator, Sequence

from infra.catalogue import Catalogue
from infra.config import FleetConfig, place
from infra.config.model import Chat
from infra.plan import naming
from infra.plan.model import ChatPlan, ClusterPlan, DoorWithTls, LoadTestPlan, ModelPlan
from infra.problem import Problem, warning

CHAT_PORT, CHAT_DOOR_PORT = 8080, 8081
DOOR_TLS_PORT = 443
CHAT_MEMORY_REQUEST, CHAT_MEMORY_LIMIT = 3 * 2**29, 3 * 2**30
"""open-webui 0.12.4 held 1.24 GB after its first chat (measured 2026-11-21); documents that it reads come on top."""
CHAT_CPU_REQUEST = 200
ENVOY_CPU_REQUEST = 50
ENVOY_MEMORY_REQUEST, ENVOY_MEMORY_LIMIT = 2**26, 2**28
LOAD_TEST_MEMORY_REQUEST, LOAD_TEST_MEMORY_LIMIT = 2**29, 2**30
LOAD_TEST_CPU_REQUEST = 500


def chat(catalogue: Catalogue, config: FleetConfig, models: Sequence[ModelPlan], namespace: str) -> ChatPlan | None:
    """None where the file does not ask for it."""
    section = config.chat
    if section is None:
        return None
    return ChatPlan(
        image=catalogue.gke.images["chat"],
        port=CHAT_PORT,
        volume_gb=volume_gb(section),
        tls=section.tls or config.router.tls,
        door=_door(config, namespace),
        embedding=next((model.name for model in models if model.embedding), None),
        memory_request=CHAT_MEMORY_REQUEST,
        memory_limit=CHAT_MEMORY_LIMIT,
        cpu_request=CHAT_CPU_REQUEST,
        envoy_cpu_request=ENVOY_CPU_REQUEST,
        envoy_memory_request=ENVOY_MEMORY_REQUEST,
        envoy_memory_limit=ENVOY_MEMORY_LIMIT,
    )


def _door(config: FleetConfig, namespace: str) -> DoorWithTls | None:
    """By the name of its Service, which its certificate is not for: what is believed is said apart from the address."""
    if config.router.tls is None:
        return None
    return DoorWithTls(
        listen=CHAT_DOOR_PORT,
        address=naming.host(naming.ROUTER, namespace),
        port=DOOR_TLS_PORT,
        host=config.router.host,
        secret=config.router.tls,
    )


def volume_gb(section: Chat) -> int:
    """Of the chat's data."""
    return max(1, math.ceil(section.disk / 10**9))


def load_test(catalogue: Catalogue, config: FleetConfig) -> LoadTestPlan | None:
    """None where the file does not ask for it."""
    section = config.load_test
    if section is None:
        return None
    return LoadTestPlan(
        image=catalogue.gke.images["load_test"],
        tls=config.router.tls,
        host=config.router.host,
        users=section.users,
        seconds=60 * section.minutes,
        memory_request=LOAD_TEST_MEMORY_REQUEST,
        memory_limit=LOAD_TEST_MEMORY_LIMIT,
        cpu_request=LOAD_TEST_CPU_REQUEST,
    )


def check(config: FleetConfig, planned: ClusterPlan | None) -> Iterator[Problem]:
    """What the owner asked for and does not get, or may not have meant."""
    asked = [name for name in ("chat", "monitoring", "loadTest") if getattr(config, _field(name)) is not None]
    if planned is None:
        for name in asked:
            yield warning(
                place(name),
                "it stands beside the router on GKE, and the file has no gke: nothing is made",
                "take it out, or add gke",
            )
    asking = [name for name, section in (("chat", config.chat), ("load test", config.load_test)) if section is not None]
    if planned is not None and asking and config.router.tls and not config.router.host:
        yield warning(
            place("router", "host"),
            f"the door's certificate may be for anything: to {' and '.join(asking)} any name of its authority is good",
            "write the name that clients use",
        )
    if config.chat is not None and config.router.auth == "none" and config.router.expose != "cluster":
        yield warning(
            place("chat"), "people sign in at the chat, and may leave it out: the door asks for no key", "auth: keys"
        )


def _field(name: str) -> str:
    return "load_test" if name == "loadTest" else name
