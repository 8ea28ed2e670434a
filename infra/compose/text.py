"""The Compose file as text: what to do first, then the file."""

import ipaddress
from collections.abc import Iterator, Sequence

from infra.compose.document import document
from infra.plan.model import FleetPlan, Machine, SitePlan
from infra.plan.site_plans import SITE_KEY
from infra.yaml_text import yaml_text

DAYS = 825


def render(plan: FleetPlan, site: SitePlan, machine: Machine) -> str:
    """The file for one machine of a site, with the commands that make its secrets as its first comment."""
    first = "".join(f"# {line}".rstrip() + "\n" for line in _first(plan, site, machine))
    return first + yaml_text([document(plan, site, machine)])


def _first(plan: FleetPlan, site: SitePlan, machine: Machine) -> Iterator[str]:
    yield f"Machine {machine.name} of site {site.name}: written by `fleet compose`, never edited."
    yield ""
    yield "Nothing secret stands here. Once, in the folder of this file:"
    yield from (f"  {line}" for line in commands(site, machine))
    yield ""
    yield "Then, and after each start of the machine (docs/sites.md has the unit for systemd):"
    yield "  docker compose up --detach --remove-orphans"
    if machine == site.machines[0] and plan.cluster is None and plan.router.settings.site == site.name:
        yield ""
        yield f"The fleet then answers at {site.address}, from wherever that name leads here:"
        yield f"  {_question(site, machine)}"


def _question(site: SitePlan, machine: Machine) -> str:
    """A first request, which no model has to answer."""
    trust = "--cacert secrets/tls/tls.crt " if machine.tls else ""
    key = f' -H "Authorization: Bearer $(cat secrets/key-{machine.door.keys[0]})"' if machine.door.keys else ""
    return f"curl {trust}{site.address}/api/tags{key}"


def commands(site: SitePlan, machine: Machine) -> list[str]:
    """What makes the secrets that the file mounts, in a folder that nobody else reads."""
    main = site.machines[0]
    if machine != main:
        return [f"scp -r {main.name}:FOLDER/secrets .   # the certificate and the keys of the site"]
    lines = ["umask 022", "mkdir -p -m 0700 secrets && mkdir -p secrets/tls secrets/keys secrets/tokens"]
    if machine.tls:
        lines.append(f"{certificate(site.hosts, 'secrets/tls/')} && chmod 0444 secrets/tls/tls.key")
    for name in dict.fromkeys(key for one in site.machines for key in one.door.keys):
        lines += [
            f"openssl rand -hex 24 > secrets/key-{name}",
            f"tr -d '\\n' < secrets/key-{name} | sha256sum | cut -c 1-64 > secrets/keys/{name}",
        ]
    for name in machine.tokens:
        own = f"cp secrets/key-{SITE_KEY} secrets/tokens/{name}"
        lines.append(own if name == site.name else f"cp FILE secrets/tokens/{name}   # the token of site {name}")
    return lines


def certificate(hosts: Sequence[str], folder: str = "") -> str:
    """What makes tls.key and tls.crt for a site's names in a folder."""
    return (
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days {DAYS} -subj /CN={hosts[0]} "
        f"-addext subjectAltName={','.join(map(_alternative, hosts))} -keyout {folder}tls.key -out {folder}tls.crt"
    )


def _alternative(host: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(host)}"
    except ValueError:
        return f"DNS:{host}"
