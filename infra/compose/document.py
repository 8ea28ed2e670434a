"""The Compose file as plain values. It decides nothing, and no secret is in it.

It follows https://github.com/compose-spec/compose-spec, 2026-11-21. Configs with their content in the file want Docker
Compose 2.23.1, and hooks before a stop 2.30.0.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from infra.plan import containers
from infra.plan.containers import (
    CERTIFICATE,
    HOME,
    KEYS,
    MEMORY,
    MODELS,
    OVERRIDE,
    PREPARE,
    PROGRAM,
    ROUTES,
    STORE,
    TOKENS,
)
from infra.plan.model import OLLAMA_PORT, FleetPlan, Machine, PoolPlan, SitePlan, SiteServer
from prepare.definitions import definitions, one_script, preparation, proof, verification
from router import sites
from router.envoy import BOOTSTRAP
from router.program import program

SCRIPT = f"{PREPARE}/prepare.sh"
HOST = "/machine"
TO_STOP = 30
"""Seconds between the end of a drain and the kill."""

Values = dict[str, Any]


def document(plan: FleetPlan, site: SitePlan, machine: Machine) -> Values:
    """The services, configs and volumes of one machine."""
    configs: dict[str, str] = {"prepare.sh": one_script()}
    volumes: Values = {"memory": _in_memory()}
    services: Values = {}
    if machine.needs.cards:
        services["check"] = _check(plan, machine)
    for name in dict.fromkeys(server.pool for server in machine.servers):
        pool = plan.pool(name)
        configs |= {f"{name}-{file}": text for file, text in definitions(pool.prepared).items()}
        volumes[f"models-{name}"] = {}
    for server in machine.servers:
        volumes[server.name] = {}
        services |= _server(plan.pool(server.pool), server, machine)
    configs |= _door_files(site.name, machine)
    services |= _door(site.name, machine)
    return {
        "name": f"ollama-fleet-{site.name}",
        "services": services,
        "configs": {name: {"content": _escaped(text)} for name, text in configs.items()},
        "volumes": volumes,
    }


def _check(plan: FleetPlan, machine: Machine) -> Values:
    """Before any server: driver, cards, runtime and devices of the machine, seen from outside the runtime."""
    return {
        "image": plan.pool(machine.servers[0].pool).runtime.image,
        "entrypoint": _script("verify"),
        "environment": {
            **verification(machine.needs),
            "FLEET_MACHINE": HOST,
            "FLEET_RUNTIME": "docker",
            "TERMINATION_LOG": "/dev/null",
        },
        "configs": [_config("prepare.sh", SCRIPT)],
        "volumes": [_bind("/dev", f"{HOST}/dev"), _bind("/usr/bin", f"{HOST}/usr/bin")],
        "network_mode": "none",
        **_locked_down(),
    }


def _server(pool: PoolPlan, server: SiteServer, machine: Machine) -> Values:
    """The server, the step before it that brings its models, and what brings later ones beside it."""
    lists = [
        _config("prepare.sh", SCRIPT),
        *(_config(f"{pool.name}-{file}", f"{MODELS}/{file}") for file in definitions(pool.prepared)),
    ]
    mounts = [f"{server.name}:{HOME}", f"models-{pool.name}:{STORE}"]
    shared = {"image": pool.runtime.image, "volumes": mounts, **_locked_down()}
    prepare = f"prepare-{server.name}"
    waits = {prepare: _after("service_completed_successfully")}
    if machine.needs.cards:
        waits["check"] = _after("service_completed_successfully")
    return {
        prepare: {
            **shared,
            "entrypoint": _script("init"),
            "environment": _environment(preparation(pool, f"127.0.0.1:{OLLAMA_PORT}")),
            "configs": lists,
        },
        server.name: {
            **shared,
            "entrypoint": _script("serve"),
            "environment": _environment(
                {
                    **pool.environment,
                    **proof(pool),
                    **({"FLEET_RUNTIME": "docker"} if pool.needs.cards else {}),
                }
            ),
            "configs": [_config("prepare.sh", SCRIPT)],
            **_gpus(pool, server),
            "depends_on": waits,
            "networks": {"default": {"aliases": [pool.names.workload]}},
            "healthcheck": {
                "test": ["CMD", *_script("healthy")],
                "interval": "10s",
                "timeout": "30s",
                "retries": 3,
                "start_period": f"{pool.startup_threshold * 3}s",
            },
            "pre_stop": [{"command": _script("drain", str(pool.drain_limit))}],
            "stop_grace_period": f"{pool.drain_limit + TO_STOP}s",
            "restart": "unless-stopped",
        },
        f"companion-{server.name}": {
            **shared,
            "entrypoint": _script("watch"),
            "environment": _environment(preparation(pool, f"{server.name}:{OLLAMA_PORT}")),
            "configs": lists,
            "depends_on": {server.name: _after("service_started")},
            "restart": "unless-stopped",
        },
    }


def _gpus(pool: PoolPlan, server: SiteServer) -> Values:
    limits = {"limits": {"memory": str(pool.memory_request)}}
    if not server.devices:
        return {"deploy": {"resources": limits}}
    devices = [{"driver": "nvidia", "device_ids": list(server.devices), "capabilities": ["gpu"]}]
    found: Values = {"deploy": {"resources": {**limits, "reservations": {"devices": devices}}}}
    if pool.needs.maps_uvm:
        found["devices"] = [f"/dev/{name}:/dev/{name}" for name in ("nvidia-uvm", "nvidia-uvm-tools")]
    return found


def _environment(values: Mapping[str, str]) -> dict[str, str]:
    there = {"HOME": HOME, "OLLAMA_MODELS": STORE, "TERMINATION_LOG": f"{HOME}/termination-log", **values}
    return {name: _escaped(value) for name, value in sorted(there.items())}


def _door(site: str, machine: Machine) -> Values:
    """Three containers on one network, whose holder never restarts: Envoy and its companion speak over loopback."""
    plan = machine.door
    own = sites.AUTHORITY.format(site)
    inside: Values = {"network_mode": "service:door", "restart": "unless-stopped"}
    certificate = [_bind("./secrets/tls", CERTIFICATE)] if machine.tls else []
    secrets = [
        *certificate,
        *([_bind("./secrets/keys", KEYS)] if plan.keys else []),
        *([_bind("./secrets/tokens", TOKENS)] if machine.tokens else []),
        # the other machines of the site have the same certificate, and nobody else vouches for it
        *([_bind("./secrets/tls/tls.crt", f"{ROUTES}/{own}")] if machine.tls and site in machine.tokens else []),
    ]
    router = "python -m router"
    options = " ".join(_options(machine))
    return {
        "door": {
            "image": machine.holder_image,
            "ports": [{"target": plan.port, "published": str(machine.port), "protocol": "tcp"}],
            "restart": "unless-stopped",
        },
        "control": {
            **inside,
            **_locked_down(),
            "image": plan.control_image,
            "entrypoint": ["/bin/sh", "-c", f"{router} init {options} && exec {router} run {options}"],
            "environment": {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": PROGRAM},
            "configs": [
                *(_config(f"router-{file}", f"{PROGRAM}/router/{file}") for file in program()),
                *(_config(file, f"{ROUTES}/{file}") for file in _map_files(site, machine)),
            ],
            "volumes": [f"memory:{MEMORY}", *secrets],
            "depends_on": {"door": _after("service_started")},
            "healthcheck": {
                "test": ["CMD", "test", "-f", f"{MEMORY}/{BOOTSTRAP}"],
                "interval": "2s",
                "retries": 30,
            },
            "stop_grace_period": f"{TO_STOP}s",
        },
        "envoy": {
            **inside,
            **_locked_down(),
            "image": plan.image,
            "user": "0",
            "command": containers.envoy_arguments(plan),
            "volumes": [f"memory:{MEMORY}:ro", *certificate],
            "depends_on": {"control": _after("service_healthy")},
            "stop_grace_period": f"{plan.leave_seconds + TO_STOP}s",
        },
    }


def _options(machine: Machine) -> Sequence[str]:
    mounted = {
        "map": ROUTES,
        "override": OVERRIDE,
        **({"keys": KEYS} if machine.door.keys else {}),
        **({"tokens": TOKENS} if machine.tokens else {}),
        **({"tls": CERTIFICATE} if machine.tls else {}),
    }
    return containers.router_options(machine.door, mounted)


def _door_files(site: str, machine: Machine) -> dict[str, str]:
    return {**_map_files(site, machine), **{f"router-{file}": text for file, text in program().items()}}


def _map_files(site: str, machine: Machine) -> dict[str, str]:
    plan = machine.door
    others = {name: text for name, text in plan.authorities.items() if name in machine.tokens and name != site}
    return containers.map_files(plan, others)


def _in_memory() -> Values:
    """What Envoy runs from: it may hold tokens, which shall never be on a disk."""
    return {"driver": "local", "driver_opts": {"type": "tmpfs", "device": "tmpfs", "o": "size=64m,mode=0755"}}


def _locked_down() -> Values:
    # not read_only: Docker cannot bring the configs of this file into a container whose root is
    return {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


def _script(mode: str, *arguments: str) -> list[str]:
    return ["/bin/sh", SCRIPT, mode, *arguments]


def _after(condition: str) -> Values:
    return {"condition": condition}


def _config(name: str, target: str) -> Values:
    return {"source": name, "target": target}


def _bind(source: str, target: str) -> Values:
    # without create_host_path a folder that is missing stops `up`; Docker would make an empty one of root's
    return {
        "type": "bind",
        "source": source,
        "target": target,
        "read_only": True,
        "bind": {"create_host_path": False},
    }


def _escaped(text: str) -> str:
    """Compose fills in ${NAME}, and takes $$ for a dollar."""
    return text.replace("$", "$$")
