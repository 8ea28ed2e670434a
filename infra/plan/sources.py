"""Where a pool gets its models from, and where it keeps them."""

from collections.abc import Iterator, Mapping
from typing import Literal

from infra.config import FleetConfig, Model, Pool, Proxy, place
from infra.config.types import shown
from infra.names import canonical_model
from infra.plan.modelfile import Derived
from infra.problem import Problem, error

NOWHERE = "none"
"""As `registry`: nothing is fetched, the model has to be on the volume already."""
PLAIN_HTTP = "http://"
REMEDY = "write host, host/namespace, or at a model host/namespace/model:tag; http:// before it for plain HTTP"
PEM = "-----BEGIN CERTIFICATE-----"


def source(pool: Pool, model: Model | None, name: str) -> str | None:
    """What the pool pulls for the model `name`, as prepare.sh takes it; None where nothing is fetched."""
    registry = (model.registry if model else None) or pool.registry
    if registry is None or registry == NOWHERE:
        return None if registry else name
    scheme = PLAIN_HTTP if registry.startswith(PLAIN_HTTP) else ""
    parts = _parts(registry)
    if len(parts) > 2:
        return scheme + "/".join(parts)
    *before, short = name.split("/")
    if len(before) > 1 and canonical_model(name).count("/") > 1:
        return name  # it names a registry of its own
    namespace = parts[1] if len(parts) > 1 else before[-1] if before else "library"
    return f"{scheme}{parts[0]}/{namespace}/{short}"


def storage(pool: Pool) -> Literal["ephemeral", "node", "volume"]:
    """The file's word, else what is lost with a pod on GKE, and what stays on the node at a site."""
    return pool.storage or ("ephemeral" if pool.site is None else "node")


def environment(proxy: Proxy | None, ca_folder: str) -> dict[str, str]:
    """What whoever pulls has to know of the proxy. Go takes a folder of CAs beside the system's own file."""
    if proxy is None:
        return {}
    found = {"HTTPS_PROXY": proxy.https}
    if proxy.no:
        found["NO_PROXY"] = ",".join(proxy.no)
    if proxy.ca:
        found["SSL_CERT_DIR"] = ca_folder
    return found


def check(config: FleetConfig, derived: Mapping[str, Derived]) -> Iterator[Problem]:
    """Registries that cannot be one, and storage that cannot hold what is asked of it."""
    if config.proxy is not None and config.proxy.ca is not None and PEM not in config.proxy.ca:
        yield error(
            place("proxy", "ca"),
            "the CA is not a certificate in PEM form",
            "write its text itself, from BEGIN CERTIFICATE on",
        )
    for name, pool in sorted(config.pools.items()):
        yield from _check_registry(place("pools", name, "registry"), pool.registry, most=2)
        yield from _check_storage(name, pool)
        models = {model: entry for model, entry in config.models.items() if name in entry.pools}
        nothing_stays = storage(pool) == "ephemeral"
        for model, entry in sorted(models.items()):
            if nothing_stays and (entry.registry or pool.registry) == NOWHERE:
                yield error(
                    place("models", model),
                    f"registry: none fetches nothing, and the storage of pool {name} begins empty with each pod",
                    f"write storage: volume at {place('pools', name)}, and bring the models there",
                )
            made = derived.get(model)
            if made is not None and made.base_is_address and (entry.registry or pool.registry) == NOWHERE:
                yield error(
                    place("models", model, "modelfile"),
                    f"FROM names an address, and registry: none of pool {name} fetches nothing",
                    "bring the file to the folder models/files of the pool's volume, and write FROM ./FILE.gguf",
                )
            if nothing_stays and made is not None and made.base_is_file and not made.base_is_address:
                yield error(
                    place("models", model, "modelfile"),
                    f"FROM names a file, and the storage of pool {name} begins empty with each pod",
                    f"write storage: volume at {place('pools', name)}, and bring the file to its folder models/files",
                )
    for name, entry in sorted(config.models.items()):
        yield from _check_registry(place("models", name, "registry"), entry.registry, most=3)


def _check_registry(where: str, registry: str | None, *, most: int) -> Iterator[Problem]:
    if registry is None:
        return
    parts = _parts(registry)
    # only the host has a port, only a name in full has a tag
    misplaced = any(":" in part for part in parts[1:2])
    if len(parts) > most or not all(parts) or misplaced:
        yield error(where, f"{shown(registry)} is not a registry", REMEDY)


def _check_storage(name: str, pool: Pool) -> Iterator[Problem]:
    here = place("pools", name, "storage")
    if pool.storage == "volume" and pool.replicas.max > 1:
        yield error(
            here,
            f"a volume has one writer, and the pool has up to {pool.replicas.max} replicas",
            "write one replica, or storage: ephemeral",
        )
    if pool.storage == "node" and pool.site is None:
        yield error(
            here,
            "pods on GKE may not write to their node's own disk (Pod Security: restricted), which goes with the node",
            "write storage: volume with one replica, or storage: ephemeral",
        )


def _parts(registry: str) -> list[str]:
    return registry.removeprefix(PLAIN_HTTP).removeprefix("https://").rstrip("/").split("/")
