"""What was found, as lines of the file, and what each card can run."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra.catalogue.types import Catalogue
from infra.discover.model import Found, Place
from infra.plan.build import decide
from infra.plan.model import Verdict
from infra.problem import Severity
from infra.visible import visible

GIB = 2**30
MOST_MODELS = 12
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*", re.ASCII)
BRANCH = re.compile(r"(\d{3})(\.\d+)*", re.ASCII)


def render(catalogue: Catalogue, place: Place) -> str:
    """YAML to paste, with the rest as comments."""
    lines = [*(f"# {visible(note)}" for note in place.notes)]
    for machine in place.machines:
        lines.append(f"# {visible(_described(machine))}")
        lines += [f"#   {visible(note)}" for note in machine.notes]
    if place.kind == "endpoints":
        with_models = ", ".join(map(visible, place.models)) or "no model"
        lines.append(f"# Ollama {visible(place.version)}, with {with_models}")
    lines += ["sites:", f"  {place.name}:", *_site(place)]
    pools = _pools(place)
    lines.append("pools:" if pools else "pools: {}")
    lines += [f"  {name}: {_flow(entry)}" for name, entry in pools.items()]
    if place.kind == "endpoints" and place.models:
        lines += ["models:", *(f"  {_quoted(name)}: [{place.name}]" for name in place.models)]
    for name, entry in pools.items():
        lines += [f"# {visible(line)}" for line in _can_run(catalogue, place, name, entry)]
    return "\n".join(lines) + "\n"


def _described(machine: Found) -> str:
    called = [device.called for device in machine.devices]
    cards = ", ".join(f"{called.count(one)} x {one}" for one in dict.fromkeys(called)) or "no GPU"
    driver = f", driver {machine.driver}" if machine.driver else ""
    return f"{machine.name}: {cards}{driver}{f', kernel {machine.kernel}' if machine.kernel else ''}"


def _site(place: Place) -> Iterator[str]:
    match place.kind:
        case "endpoints":
            yield f"    endpoints: [{_quoted(place.url)}]"
            return
        case "docker":
            yield "    docker: {}"
        case "kubernetes":
            known: dict[str, Any] = {"context": place.context}
            known |= {"distribution": "k3s"} if place.k3s else {}
            known |= {"devicePlugin": "existing"} if place.device_plugin else {}
            yield f"    kubernetes: {_flow(known)}"
    yield f"    url: https://{place.name}.example.ts.net   # where the router reaches its door"
    yield "    nodes:"
    for machine in place.machines:
        sizes = {"memory": f"{machine.memory // GIB or 1}Gi", "disk": f"{machine.disk // GIB or 1}Gi"}
        # nothing but a driver in a container asks for it, and that is for Kubernetes
        system = {"os": machine.os} if place.kind == "kubernetes" and machine.os and machine.devices else {}
        yield f"      {_flow(machine.name)}: {_flow({'gpus': _gpus(place, machine), **sizes, **system})}"


def _gpus(place: Place, machine: Found) -> Mapping[str, Any]:
    counts = machine.counts
    numbered = place.kind == "docker" and all(device.index for device in machine.devices)
    if len(counts) < 2 or not numbered:
        return counts
    return {gpu: [int(one.index) for one in machine.devices if one.gpu == gpu] for gpu in counts}


def _pools(place: Place) -> dict[str, dict[str, Any]]:
    """One for each kind of card, with as many replicas as there are of it on the machine that has most."""
    if place.kind == "endpoints":
        return {place.name: {"gpu": "none", "site": place.name}}
    pools: dict[str, dict[str, Any]] = {}
    for machine in place.machines:
        for gpu, count in machine.counts.items():
            entry = pools.setdefault(gpu, {"gpu": gpu, "site": place.name, "replicas": count})
            entry["replicas"] = max(entry["replicas"], count)
            if branch := BRANCH.fullmatch(machine.driver):
                entry.setdefault("driver", f"R{branch[1]}")
    return {name: {key: value for key, value in entry.items() if value != 1} for name, entry in sorted(pools.items())}


def _can_run(catalogue: Catalogue, place: Place, name: str, pool: Mapping[str, Any]) -> Iterator[str]:
    if place.kind == "endpoints":
        yield f"{name}: write the GPU of these servers at gpu, and their memory is checked"
        return
    if refused := _refusal(place, name, pool):
        yield f"{name}: {refused}"
        return
    fits = [model for model in sorted(catalogue.models) if _fits(place, name, pool, model)]
    more = f", and {len(fits) - MOST_MODELS} more" if len(fits) > MOST_MODELS else ""
    largest = sorted(fits, key=lambda model: -catalogue.models[model].size_gb)[:MOST_MODELS]
    listed = ", ".join(largest) or "no model of the catalogue"
    yield f"{name} can run, one at a time at a context of 8192: {listed}{more}"


def _refusal(place: Place, name: str, pool: Mapping[str, Any]) -> str:
    """Why nothing runs with this driver, in the plan's own words."""
    plan = decide(_fleet(place, name, pool, "smollm2:135m"), stack="discover", project=None)
    here = f"fleet.pools.{name}."
    found = [one for one in plan.problems if one.severity is Severity.ERROR and one.place.startswith(here)]
    return f"{found[0].message}: {found[0].remedy}" if found else ""


def _fits(place: Place, name: str, pool: Mapping[str, Any], model: str) -> bool:
    plan = decide(_fleet(place, name, pool, model), stack="discover", project=None)
    wrong = any(one.severity is Severity.ERROR for one in plan.problems)
    return bool(plan.pools) and not wrong and plan.pools[0].memory.verdict in (Verdict.FITS, Verdict.TIGHT)


def _fleet(place: Place, name: str, pool: Mapping[str, Any], model: str) -> dict[str, Any]:
    return {
        "pools": {name: {**pool, "replicas": 1}},
        "models": {model: [name]},
        "sites": {place.name: {"kubernetes": {}} if place.kind == "kubernetes" else {"docker": {}}},
        "router": {"site": place.name},
    }


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value) if isinstance(value, str) else str(value)


def _scalar(text: str) -> str:
    """Somebody else's word stays a word, whatever is in it."""
    from ruamel.yaml import YAML

    return text if PLAIN.fullmatch(text) and YAML(typ="safe").load(text) == text else _quoted(text)


def _quoted(text: str) -> str:
    return visible(json.dumps(text, ensure_ascii=False))
