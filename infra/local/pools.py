"""What answers behind the local door: which servers, with which models, and the map that leads there."""

import json
import socket
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from infra.config import FleetConfig
from infra.names import canonical_model
from infra.plan import routes
from infra.plan.model import FleetPlan, PoolPlan
from infra.problem import error
from infra.stack import UnreadableError
from infra.unreachable import why
from router import MapError, parse
from simulator import Behaviour, Model, Server
from simulator.clock import duration
from simulator.server import VERSION
from simulator.serving import listen

HEADER = "# The map of this local fleet. Edit it: what you save takes effect at once, a broken map is refused.\n"
RUNNING = "ollama"
"""The one pool behind the door where OLLAMA_URL names a server."""
ADDRESS_REMEDY = "write it like http://127.0.0.1:11434"
ANSWER_SECONDS = 5.0
LONGEST_LIST = 2**24
FAMILY = "simulated"
HERE_TOO = ("missing", "spillsAt")
"""What facts.json says of a pool that holds of a simulated one too."""


@dataclass(frozen=True, kw_only=True)
class Pools:
    """The servers to start (none where one runs already), the map, and what is to be said about them."""

    simulated: tuple[tuple[Server, socket.socket], ...]
    routes: str
    said: tuple[str, ...]
    facts: str = "{}"
    """facts.json, as the router reads it beside the map."""


def simulated(plan: FleetPlan, behaviour: Behaviour) -> Pools:
    """One simulated Ollama for each pool, with the models, the contexts and the limits of the plan."""
    servers = [(_server(plan, pool, behaviour), listen()) for pool in plan.pools]
    here = [
        replace(pool, site=None, address=f"127.0.0.1:{one.getsockname()[1]}")
        for pool, (_, one) in zip(plan.pools, servers, strict=True)
    ]
    width = max((len(pool.name) for pool in here), default=0)
    said = (f"{pool.name:<{width}}  simulated Ollama at http://{pool.address}" for pool in here)
    text = routes.render(FleetConfig(), plan.models, plan.aliases, here, header=HEADER)
    return Pools(simulated=tuple(servers), routes=text, said=tuple(said), facts=_facts(plan))


def _facts(plan: FleetPlan) -> str:
    """Of the plan's facts what is true here: these pools never sleep, and their models have digests of their own."""
    pools = json.loads(plan.router.facts)["pools"]
    return json.dumps(
        {"pools": {name: {key: entry[key] for key in HERE_TOO if key in entry} for name, entry in pools.items()}}
    )


def running(plan: FleetPlan, url: str) -> Pools:
    """What of the plan the server at `url` has. Raises UnreadableError where it has nothing, or is not there."""
    url = url if "://" in url else f"http://{url}"
    address = _address(url)
    names = sorted([*(model.name for model in plan.models), *(alias.name for alias in plan.aliases)])
    try:
        parse(_leading(names, address))
    except MapError as refused:
        causes = "; ".join(fault.cause for fault in refused.faults)
        raise UnreadableError(error("OLLAMA_URL", causes, ADDRESS_REMEDY)) from None
    has = {canonical_model(name) for name in _listed(address)}
    served = [name for name in names if canonical_model(name) in has]
    missing = [name for name in names if canonical_model(name) not in has]
    if not served:
        raise UnreadableError(
            error("OLLAMA_URL", f"{address} has none of the plan's models", f"ollama pull {missing[0]}, there")
        )
    said = [f"{RUNNING}  {address}, serving {', '.join(served)}"]
    if missing:
        said.append(f"not there, so not served: {', '.join(missing)} (nothing is pulled for you)")
    return Pools(simulated=(), routes=_leading(served, address), said=tuple(said))


def _leading(names: list[str], address: str) -> str:
    """The map that leads all these names to one server."""
    lines = ["[routes]", *(f"{json.dumps(name)} = [{json.dumps(RUNNING)}]" for name in names), "", "[pools]"]
    return HEADER + "\n".join([*lines, f"{RUNNING} = {{url = {json.dumps(address)}}}"]) + "\n"


def _server(plan: FleetPlan, pool: PoolPlan, behaviour: Behaviour) -> Server:
    settings = pool.environment
    keep_alive = settings.get("OLLAMA_KEEP_ALIVE", "5m")
    limited = replace(
        behaviour,
        parallel=pool.parallel,
        max_loaded=int(settings.get("OLLAMA_MAX_LOADED_MODELS", behaviour.max_loaded)),
        keep_alive=duration(float(keep_alive) if keep_alive.lstrip("-").isdigit() else keep_alive),
    )
    version = pool.runtime.version or VERSION
    return Server(pool.name, _models(plan, pool), limited, version=version, lacks=pool.runtime.missing_routes)


def _models(plan: FleetPlan, pool: PoolPlan) -> list[Model]:
    """Every name that the pool's pods have in place: pulled, created, and copied for aliases."""
    residents = {canonical_model(resident.model): resident for resident in pool.residents}
    embedding = {canonical_model(model.name) for model in plan.models if model.embedding}
    models = {}
    for prepared in pool.prepared:
        source = canonical_model(prepared.source if prepared.action == "copy" else prepared.name)
        resident = residents[source]
        models[prepared.name] = Model(
            name=prepared.name,
            weights=resident.shares or source,
            family=FAMILY,
            parameter_size="",
            quantization="",
            capabilities=("embedding",) if source in embedding else ("completion", "tools"),
            context=resident.context,
            memory=resident.need.size,
            size=resident.disk,
        )
    return list(models.values())


def _address(url: str) -> str:
    """Scheme, host and port, which is all that the map takes."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        named = bool(parts.hostname) and ":" not in (parts.hostname or "")
        whole = named and not (parts.path.strip("/") or parts.query or parts.fragment or parts.username)
    except (ValueError, KeyError):
        whole = False
    if not whole:
        raise UnreadableError(error("OLLAMA_URL", "it is not the address of a server", ADDRESS_REMEDY))
    return f"{parts.scheme}://{parts.hostname}:{port}"


def _listed(url: str) -> list[str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/api/tags", timeout=ANSWER_SECONDS) as answer:
            content = json.loads(answer.read(LONGEST_LIST))
        return [str(model["name"]) for model in content["models"]]
    except (OSError, ssl.SSLError, urllib.error.URLError, ValueError, KeyError, TypeError) as failure:
        cause = f"no Ollama answers at {url}: {why(failure)}"
        raise UnreadableError(
            error("OLLAMA_URL", cause, "start it (`ollama serve`), or leave OLLAMA_URL out for simulated servers")
        ) from None
