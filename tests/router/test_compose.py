"""A Docker site: its Compose file is one, and its very commands serve a chat behind TLS and a key."""

import http.client
import importlib.util
import json
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from infra.compose import render
from infra.compose.text import commands
from infra.plan import build
from infra.plan.model import FleetPlan
from tests.router.composed import Composed, parsed
from tests.router.conftest import OpenDoor
from tests.router.door import Door, ask, wait_until
from tests.router.fake_ollama import FakeOllama
from tests.router.relay import Relay

RIG: dict[str, Any] = {
    "gke": {"location": "us-central1-c"},
    "pools": {"t4": {"gpu": "t4"}, "k80": {"gpu": "k80", "site": "rig"}, "m60": {"gpu": "m60", "site": "rig"}},
    "models": {"llama3.2:3b": ["k80", "t4"], "gemma3:4b": ["m60"]},
    "aliases": {"small": "llama3.2:3b"},
    "sites": {
        "rig": {
            "docker": {},
            "url": "https://localhost:8443",
            "nodes": {"pc": {"gpus": {"k80": [0, 1], "m60": [2, 3]}, "memory": "64Gi", "disk": "400Gi"}},
        }
    },
}
StartOllama = Callable[..., FakeOllama]
CARDS = {"ollama-k80": "Tesla K80", "ollama-m60": "Tesla M60"}


def plan(fleet: Any) -> FleetPlan:
    found = build.decide(fleet, stack="dev", project="example-project")
    assert not [problem for problem in found.problems if problem.severity == "error"], found.problems
    return found


def compose(fleet: Any, site: str = "rig", machine: int = 0) -> str:
    found = plan(fleet)
    return render(found, found.site(site), found.site(site).machines[machine])


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    """The Compose specification's own, as check-jsonschema ships it."""
    package = importlib.util.find_spec("check_jsonschema")
    if package is None or package.origin is None:
        pytest.skip("Compose schema left out: `pip install check-jsonschema==0.39.0` brings it")
    file = Path(package.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    return Draft202012Validator(json.loads(file.read_text()))


@pytest.fixture(scope="module")
def rig(envoy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """A machine with a K80 and an M60, set up by its own file and the commands in it."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on PATH, which makes the site's certificate")
    folder = tmp_path_factory.mktemp("rig")
    found = plan(RIG)
    site = found.site("rig")
    script = "\n".join(["set -e", *commands(site, site.machines[0])])
    subprocess.run(["sh", "-c", script], cwd=folder, check=True, capture_output=True, timeout=30)
    composed = Composed(render(found, site, site.machines[0]), folder, envoy, CARDS)
    try:
        composed.up()
        for model in ("llama3.2:3b", "gemma3:4b"):
            wait_until(lambda asked=model: chat(composed, asked)[0] == 200, 30, f"the site serves {model}")
        yield composed
    finally:
        composed.down()


def chat(rig: Composed, model: str, key: str | None = None) -> tuple[int, dict[str, str], Any]:
    """One chat at the site's own door."""
    context = ssl.create_default_context(cafile=rig.folder / "secrets/tls/tls.crt")
    connection = http.client.HTTPSConnection("localhost", rig.port, context=context, timeout=20)
    key = (rig.folder / "secrets/key-fleet").read_text().strip() if key is None else key
    body = json.dumps({"model": model, "stream": False, "messages": [{"role": "user", "content": "hello"}]})
    try:
        connection.request("POST", "/api/chat", body, {"authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, json.loads(answer.read())
    except OSError:
        return 0, {}, None
    finally:
        connection.close()


@pytest.mark.parametrize(
    "fleet",
    [
        RIG,
        {**RIG, "pools": {**RIG["pools"], "m60": {"gpu": "none", "site": "rig"}}},
        {**RIG, "sites": {"rig": {**RIG["sites"]["rig"], "url": "http://rig.lan:8080"}}},
        {
            "pools": {"k80": {"gpu": "k80", "site": "home", "replicas": 2}},
            "models": {"llama3.2:3b": ["k80"], "own": {"pools": ["k80"], "modelfile": "FROM llama3.2:3b\nSYSTEM $x\n"}},
            "sites": {"home": {"docker": {}, "nodes": {"pc": {"gpus": {"k80": 2}, "memory": "64Gi", "disk": "400Gi"}}}},
            "router": {"site": "home", "auth": "none"},
        },
    ],
    ids=["mixed cards", "a CPU pool", "plain HTTP in a VPN", "home alone"],
)
def test_the_file_is_a_compose_file(fleet: Any, schema: Draft202012Validator) -> None:
    text = compose(fleet, next(iter(fleet["sites"])))
    document = parsed(text)
    schema.validate(document)
    for service in document["services"].values():
        assert set(service.get("depends_on", {})) <= set(document["services"])
        assert {one["source"] for one in service.get("configs", ())} <= set(document["configs"])
        named = {one.partition(":")[0] for one in service.get("volumes", ()) if isinstance(one, str)}
        assert named <= set(document["volumes"])
    assert "restart: no\n" not in text, "YAML 1.1 would read it as false"


def test_each_server_has_its_own_gpus_and_a_k80_the_devices_of_unified_memory() -> None:
    services = parsed(compose(RIG))["services"]
    reserved = {
        name: services[name]["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"] for name in CARDS
    }
    assert reserved == {"ollama-k80": ["0"], "ollama-m60": ["2"]}
    assert services["ollama-k80"]["devices"] == [
        "/dev/nvidia-uvm:/dev/nvidia-uvm",
        "/dev/nvidia-uvm-tools:/dev/nvidia-uvm-tools",
    ]
    assert not [name for name in CARDS if "ports" in services[name]], "Ollama asks for no key"


def test_two_replicas_have_a_service_and_a_gpu_each_and_share_their_models() -> None:
    fleet = {**RIG, "pools": {**RIG["pools"], "k80": {"gpu": "k80", "site": "rig", "replicas": 2}}}
    services = parsed(compose(fleet))["services"]
    both = [services["ollama-k80-1"], services["ollama-k80-2"]]
    assert [one["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"] for one in both] == [["0"], ["1"]]
    assert {one["networks"]["default"]["aliases"][0] for one in both} == {"ollama-k80"}
    assert all("models-k80:/ollama/models" in one["volumes"] for one in both)


def test_nothing_secret_stands_in_the_file(rig: Composed) -> None:
    text = compose(RIG)
    for file in (rig.folder / "secrets").rglob("*"):
        assert not file.is_file() or file.read_text().strip() not in text, file.name
    assert (rig.folder / "secrets").stat().st_mode & 0o077 == 0


def test_a_chat_at_the_sites_door_is_answered_by_the_pool_of_its_model(rig: Composed) -> None:
    for model, pool in (("llama3.2:3b", "k80"), ("small", "k80"), ("gemma3:4b", "m60")):
        status, headers, answer = chat(rig, model)
        assert (status, headers["x-fleet-pool"], answer["model"]) == (200, pool, model)
    assert chat(rig, "qwen3:32b")[0] == 404


@pytest.mark.parametrize("key", ["", "wrong", "0" * 48])
def test_without_the_sites_token_nobody_is_served(rig: Composed, key: str) -> None:
    assert chat(rig, "llama3.2:3b", key)[0] == 401


def test_the_health_check_of_a_server_passes_once_its_models_run_on_the_gpu(rig: Composed) -> None:
    for name in CARDS:
        rig.wait_healthy(name)


def test_a_server_with_another_driver_than_planned_does_not_start(rig: Composed) -> None:
    smi = rig.folder / "bin/ollama-m60/nvidia-smi"
    before = smi.read_text()
    rig.stop("ollama-m60")
    smi.write_text(before.replace("470.256.02", "390.157"))
    try:
        rig.start("ollama-m60")
        wait_until(lambda: "driver 390.157 is loaded, planned: driver 470" in rig.log("ollama-m60"), 10)
        assert chat(rig, "gemma3:4b")[0] == 503
        assert chat(rig, "llama3.2:3b")[0] == 200
    finally:
        smi.write_text(before)
        rig.stop("ollama-m60")
        rig.start("ollama-m60")
    wait_until(lambda: chat(rig, "gemma3:4b")[0] == 200, 20, "the server is back")


# The way there: from the fleet's router, over a relay, to the site's own door


@pytest.fixture
def relay(rig: Composed) -> Iterator[Relay]:
    line = Relay(rig.port)
    yield line
    line.close()


EXPIRED = """
printf '[ca]\\ndefault_ca=c\\n[c]\\ndatabase=index\\nserial=serial\\nnew_certs_dir=.\\ndefault_md=sha256\\n' > ca.cnf
printf 'policy=p\\nx509_extensions=e\\n[p]\\ncommonName=supplied\\n[e]\\nsubjectAltName=DNS:localhost\\n' >> ca.cnf
touch index; echo 01 > serial
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout key.pem -out c.csr
openssl ca -batch -selfsign -notext -config ca.cnf -keyfile key.pem -in c.csr -out c.pem @dates
"""


def fleets_door(
    open_door: OpenDoor, rig: Composed, relay: Relay, t4: FakeOllama, *, token: str = "", authority: str = ""
) -> Door:
    """As on GKE: pools at home by URL, one beside it."""
    at_home = f'{{url = "https://localhost:{relay.port}", token = "rig"}}'
    text = (
        '[routes]\n"llama3.2:3b" = ["k80", "t4"]\n"gemma3:4b" = ["m60"]\nnomic-embed-text = ["t4"]\n'
        f'[pools]\nk80 = {at_home}\nm60 = {at_home}\nt4 = "{t4.address}"\n'
    )
    secret = token or (rig.folder / "secrets/key-fleet").read_text().strip()
    certificate = authority or (rig.folder / "secrets/tls/tls.crt").read_text()
    return open_door(text, tokens={"rig": secret}, authorities={"rig": certificate})


def settled(door: Door, model: str, status: int, pool: str | None = None) -> None:
    """The model is answered so, from some moment on."""

    def as_said() -> bool:
        # more patient than a door that finds out that the line is silent
        answer = ask(door.port, "POST", "/api/chat", {"model": model, "stream": False}, seconds=40)
        return (answer.status, answer.pool if status == 200 else None) == (status, pool)

    wait_until(as_said, 60, f"{model} is answered with {status} from {pool}")


def test_a_chat_goes_through_the_fleets_router_over_tls_to_the_sites_door(
    open_door: OpenDoor, ollama: StartOllama, rig: Composed, relay: Relay
) -> None:
    the_site_answers(fleets_door(open_door, rig, relay, ollama("t4")))


@pytest.mark.parametrize("wrong", ["token", "authority"])
def test_with_the_wrong_token_or_an_unknown_authority_the_models_of_a_site_fall_back_or_name_it(
    open_door: OpenDoor, ollama: StartOllama, rig: Composed, relay: Relay, certificate: Path, wrong: str
) -> None:
    text = certificate.read_text()
    other = {
        "token": {"token": "no-token-of-anybody"},
        "authority": {"authority": text[text.index("-----BEGIN CERT") :]},
    }
    door = fleets_door(open_door, rig, relay, ollama("t4"), **other[wrong])
    settled(door, "llama3.2:3b", 200, "t4")
    settled(door, "gemma3:4b", 503)
    assert "at site rig" in door.chat("gemma3:4b").json["error"]
    settled(door, "nomic-embed-text", 200, "t4")


def test_an_expired_certificate_is_not_believed(open_door: OpenDoor, ollama: StartOllama, tmp_path: Path) -> None:
    dates = "-startdate 200101000000Z -enddate 200201000000Z"
    for command in EXPIRED.replace("@dates", dates).strip().splitlines():
        subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, capture_output=True, timeout=30)
    both = tmp_path / "both.pem"
    both.write_text((tmp_path / "key.pem").read_text() + (tmp_path / "c.pem").read_text())
    site = ollama("k80", both)
    door = open_door(
        f'[routes]\nm = ["k80"]\n[pools]\nk80 = {{url = "https://localhost:{site.port}", token = "rig"}}\n',
        authorities={"rig": (tmp_path / "c.pem").read_text()},
    )
    settled(door, "m", 503)
    assert door.chat("m").json["error"] == "no server of this model at site rig is up, please try again"
    assert site.asked == []


def test_a_line_that_is_refused_costs_the_sites_models_their_site_and_the_others_nothing(
    open_door: OpenDoor, ollama: StartOllama, rig: Composed, relay: Relay
) -> None:
    door = fleets_door(open_door, rig, relay, ollama("t4"))
    settled(door, "gemma3:4b", 200, "m60")
    relay.become("refused")
    others_notice_nothing(door)
    the_site_is_missed(door)
    relay.become("open")
    the_site_answers(door)


def test_a_line_that_falls_silent_leaves_nobody_waiting_on_it_and_costs_the_others_nothing(
    open_door: OpenDoor, ollama: StartOllama, rig: Composed, relay: Relay
) -> None:
    door = fleets_door(open_door, rig, relay, ollama("t4"))
    the_site_answers(door)
    # each worker of the door keeps a connection then, and sends what comes next on it
    assert {door.chat(model).status for model in ("llama3.2:3b", "gemma3:4b") for _ in range(20)} == {200}
    relay.become("silent")
    with ThreadPoolExecutor(2) as clients:
        waiting = [
            clients.submit(ask, door.port, "POST", "/api/chat", {"model": model, "stream": False}, seconds=40)
            for model in ("llama3.2:3b", "gemma3:4b")
        ]
        others_notice_nothing(door)
        patient, alone = (one.result() for one in waiting)
    assert (patient.status, patient.pool, patient.headers["x-fleet-attempts"]) == (200, "t4", "2")
    assert alone.status in (502, 503)
    assert "at site rig" in alone.json["error"] or "broke off" in alone.json["error"]
    the_site_is_missed(door)
    relay.become("open")
    the_site_answers(door)


def others_notice_nothing(door: Door) -> None:
    for _ in range(20):
        other = door.chat("nomic-embed-text")
        assert (other.status, other.headers["x-fleet-attempts"]) == (200, "1")


def the_site_is_missed(door: Door) -> None:
    settled(door, "llama3.2:3b", 200, "t4")
    settled(door, "gemma3:4b", 503)
    assert "at site rig" in door.chat("gemma3:4b").json["error"]


def the_site_answers(door: Door) -> None:
    settled(door, "llama3.2:3b", 200, "k80")
    settled(door, "gemma3:4b", 200, "m60")


def test_a_slow_line_is_no_failure(open_door: OpenDoor, ollama: StartOllama, rig: Composed, relay: Relay) -> None:
    relay.become("slow")
    door = fleets_door(open_door, rig, relay, ollama("t4"))
    settled(door, "llama3.2:3b", 200, "k80")
    assert [door.chat("llama3.2:3b", stream=False).pool for _ in range(3)] == ["k80"] * 3


# Several machines of one site


def test_the_first_machines_door_leads_to_the_others_with_the_sites_token_and_certificate() -> None:
    nodes = {
        "rig-1": {"gpus": {"k80": 2}, "memory": "64Gi", "disk": "400Gi"},
        "rig-2": {"gpus": {"m60": 2}, "memory": "64Gi", "disk": "400Gi"},
    }
    fleet = {**RIG, "sites": {"rig": {**RIG["sites"]["rig"], "nodes": nodes}}}
    first, second = parsed(compose(fleet)), parsed(compose(fleet, machine=1))
    routes = first["configs"]["routes.toml"]["content"]
    assert 'm60 = {url = "https://rig-2:8443", token = "rig"}' in routes
    assert 'k80 = "ollama-k80:11434"' in routes
    mounted = {one["target"]: one["source"] for one in first["services"]["control"]["volumes"] if isinstance(one, dict)}
    assert mounted["/etc/ollama-fleet/tokens"] == "./secrets/tokens"
    assert mounted["/etc/ollama-fleet/routes/ca-rig.pem"] == "./secrets/tls/tls.crt"
    assert "--tokens=/etc/ollama-fleet/tokens" in first["services"]["control"]["entrypoint"][-1]
    assert 'm60 = "ollama-m60:11434"' in second["configs"]["routes.toml"]["content"]
    assert "k80" not in second["configs"]["routes.toml"]["content"]
    assert "--tokens" not in second["services"]["control"]["entrypoint"][-1]
    site = plan(fleet).site("rig")
    made = "\n".join(commands(site, site.machines[0]))
    assert "DNS:localhost,DNS:rig-1,DNS:rig-2" in made
    assert "cp secrets/key-fleet secrets/tokens/rig" in made
