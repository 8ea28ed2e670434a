"""What the door asks of a request: the names of its keys, the text of door.json, and what makes it unsafe."""

import json
from collections.abc import Iterator, Sequence

from infra.config import FleetConfig, place
from infra.names import canonical_model
from infra.plan.model import ModelPlan
from infra.problem import Problem, warning

ONLY_KEY = "everyone"
"""The key of a door whose file names none."""
CHAT_KEY, LOAD_TEST_KEY = "chat", "loadtest"
"""The keys of the fleet's own clients: named in the file, they have models and limits as others have."""


def keys(config: FleetConfig) -> tuple[str, ...]:
    """The names of the keys that exist, those of the fleet's own clients among them; none where nobody needs one."""
    router = config.router
    clients = ((CHAT_KEY, config.chat), (LOAD_TEST_KEY, config.load_test))
    own = {name for name, section in clients if section is not None}
    return tuple(sorted({*(router.keys or [ONLY_KEY]), *own})) if router.auth == "keys" else ()


def render(config: FleetConfig, models: Sequence[ModelPlan]) -> str:
    """door.json for these decisions, an entry a line; it holds no key."""
    router = config.router
    rules = {
        "auth": router.auth,
        "keys": {name: _key(config, name) for name in keys(config)},
        "clientOptions": router.client_options,
        "contexts": {canonical_model(model.name): model.context for model in sorted(models, key=lambda one: one.name)},
        "maxBody": router.max_body,
        "origins": list(router.origins),
    }
    return json.dumps(rules, indent=1) + "\n"


def _key(config: FleetConfig, name: str) -> dict[str, object]:
    rule = config.router.keys.get(name)
    entry: dict[str, object] = {}
    if rule is not None and rule.models:
        entry["models"] = [canonical_model(model) for model in rule.models]
    if rule is not None and rule.requests_per_minute:
        entry["requestsPerMinute"] = rule.requests_per_minute
    return entry


def check(config: FleetConfig) -> Iterator[Problem]:
    """What the owner asked for and may not have meant."""
    router = config.router
    if router.insecure_public_access and router.expose == "public":
        missing = [*(["key"] if router.auth == "none" else []), *(["TLS"] if router.tls is None else [])]
        if missing:
            yield warning(
                place("router", "insecurePublicAccess"),
                f"the door is open to the internet without {' and without '.join(missing)}: "
                + ("everybody can use these GPUs" if router.auth == "none" else "keys and prompts cross it in clear"),
                "name a TLS Secret in tls, and leave auth: keys",
            )
    elif router.expose == "internal" and router.auth == "none":
        yield warning(
            place("router", "auth"),
            "whoever reaches the internal load balancer can use these GPUs",
            "leave auth: keys, or name sourceRanges",
        )
    if router.host is not None and router.tls is None:
        yield warning(
            place("router", "host"),
            "it says what a certificate is for, and the file has no tls",
            "name its Secret in tls",
        )
    if config.gke is None and router.tls is not None:
        yield warning(
            place("router", "tls"),
            "it names a Secret of a cluster on GKE; a door at a site has a certificate of its own",
            "take tls out: `fleet compose` and `fleet manifests --site` say where the certificate goes",
        )
    if router.expose == "internal" and router.tls is None and router.auth == "keys" and config.gke is not None:
        yield warning(
            place("router", "tls"),
            "keys and prompts cross the network in clear between the clients and the internal load balancer",
            "name a kubernetes.io/tls Secret in tls",
        )
    if router.client_options == "pass":
        yield warning(
            place("router", "clientOptions"),
            "clients may set num_ctx and num_gpu, so the memory figures of this plan are not guaranteed",
            "clientOptions: refuse",
        )
    if router.origins and "*" in router.origins and router.auth == "none":
        yield warning(
            place("router", "origins"),
            "any page that a person opens can use these GPUs through that person's browser",
            "name the pages, or leave auth: keys",
        )
