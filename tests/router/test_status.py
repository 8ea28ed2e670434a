"""What the door says of its fleet at /fleet, and who may know it."""

import http.client
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from infra.__main__ import main
from infra.local.ports import free_ports
from router import page
from router.program import program
from tests.router.conftest import Fleet, OpenDoor
from tests.router.door import Door, wait_until
from tests.router.fake_ollama import FakeOllama

StartOllama = Callable[..., FakeOllama]
SEARCH, EVERYONE = "search-0123456789-abcdefghijklmnop", "everyone-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
KEYS = {"search": SEARCH, "everyone": EVERYONE}
RULES = {"keys": {"search": {"models": ["nomic-embed-text"]}, "everyone": {}}}
MAP = """
[routes]
"llama3.1:8b" = ["t4", "k80"]
nomic-embed-text = ["k80"]
embedder = "nomic-embed-text"
far = ["away"]
[pools]
t4 = "{t4}"
k80 = "{k80}"
away = "nowhere.invalid:11434"
"""
DIGESTS = {"llama3.1:8b": "a" * 64, "nomic-embed-text:latest": "b" * 64, "embedder:latest": "b" * 64}


def told(door: Door, key: str = EVERYONE) -> Any:
    answer = door.ask("GET", "/fleet/status.json", headers={"x-api-key": key})
    assert answer.status == 200, answer.body
    return answer.json


def pool(door: Door, name: str, key: str = EVERYONE) -> Any:
    return {one["name"]: one for one in told(door, key)["pools"]}[name]


def model(door: Door, name: str, key: str = EVERYONE) -> Any:
    return {one["name"]: one for one in told(door, key)["models"]}[name]


@pytest.fixture(scope="module")
def fleet(envoy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A door with two keys before two pools that answer and one that has no address."""
    import sys

    with ExitStack() as stack:
        pools = {
            name: stack.enter_context(FakeOllama(name, models=DIGESTS, version="0.32.15").running())
            for name in ("t4", "k80")
        }
        pools["t4"].loaded = ["llama3.1:8b"]
        text = MAP.format(**{name: one.address for name, one in pools.items()})
        folder = tmp_path_factory.mktemp("status") / "door"
        door = Door(envoy, folder, text, rules=RULES, keys=KEYS, python=sys.executable)
        stack.callback(door.close)
        wait_until(lambda: pool(door, "t4")["state"] == "ready" and pool(door, "away")["state"] == "empty")
        yield Fleet(door, pools)


def test_the_page_needs_no_key_holds_no_data_and_runs_its_own_script_alone(fleet: Fleet) -> None:
    answer = fleet.door.ask("GET", "/fleet")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.body.decode() == program()["page.html"] == page.reply().text
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert re.fullmatch(r"'sha256-[\w+/=]+'", policy["script-src"])
    assert re.fullmatch(r"'sha256-[\w+/=]+'", policy["style-src"])
    assert answer.headers["cache-control"] == "no-store"
    assert "Python" not in answer.headers["server"]
    assert fleet.door.ask("HEAD", "/fleet").status == 200
    assert fleet.door.ask("POST", "/fleet").status in (401, 405)


@pytest.mark.parametrize(
    "path", ["/fleet/status.json", "/fleet/", "/fleet/page.html", "/fleet?a=b", "/fleet/../api/tags"]
)
def test_everything_but_the_page_needs_a_key(fleet: Fleet, path: str) -> None:
    assert fleet.door.ask("GET", path).status == 401


def test_pools_replicas_and_models_are_told(fleet: Fleet) -> None:
    found = told(fleet.door)
    assert [one["name"] for one in found["pools"]] == ["away", "k80", "t4"]
    assert found["key"] == "everyone"
    t4 = pool(fleet.door, "t4")
    (replica,) = t4["replicas"]
    assert (replica["address"], replica["version"]) == (fleet.pools["t4"].address, "0.32.15")
    assert [one["name"] for one in replica["loaded"]] == ["llama3.1:8b"]
    assert model(fleet.door, "llama3.1:8b")["route"] == ["t4", "k80"]
    assert model(fleet.door, "embedder:latest")["alias_of"] == "nomic-embed-text"
    away = pool(fleet.door, "away")
    assert (away["state"], away["replicas"]) == ("empty", [])
    assert "nowhere.invalid has no address" in away["cause"]
    assert (found["map"]["in_force"], found["map"]["faults"]) == (True, [])


def test_a_key_for_some_models_knows_these_and_their_pools_alone(fleet: Fleet) -> None:
    spoofed = {"x-api-key": SEARCH, "x-fleet-key": "everyone"}
    found = fleet.door.ask("GET", "/fleet/status.json", headers=spoofed).json
    assert found["key"] == "search"
    assert [one["name"] for one in found["models"]] == ["embedder:latest", "nomic-embed-text:latest"]
    assert [one["name"] for one in found["pools"]] == ["k80"]
    assert found["pools"][0]["replicas"][0]["models"] == ["embedder:latest", "nomic-embed-text:latest"]
    assert "llama" not in json.dumps(found)


@pytest.mark.parametrize(
    ("path", "key", "name"),
    [("/api/tags", "models", "name"), ("/v1/models", "data", "id"), ("/api/ps", "models", "name")],
)
def test_the_lists_hold_what_the_key_may_ask_for(fleet: Fleet, path: str, key: str, name: str) -> None:
    def listed(headers: dict[str, str]) -> set[str]:
        return {one[name] for one in fleet.door.ask("GET", path, headers=headers).json[key]}

    assert "llama3.1:8b" in listed({"x-api-key": EVERYONE})
    some = {"embedder:latest", "nomic-embed-text:latest"} if path != "/api/ps" else set()
    assert listed({"x-api-key": SEARCH, "x-fleet-key": "everyone"}) == some


def test_the_name_of_the_key_reaches_no_pool(fleet: Fleet) -> None:
    headers = {"x-api-key": EVERYONE, "x-fleet-key": "spoofed"}
    assert fleet.door.ask("POST", "/api/chat", {"model": "nomic-embed-text"}, headers).status == 200
    assert "x-fleet-key" not in fleet.pools["k80"].asked[-1].headers


@pytest.mark.parametrize(("own", "reaches"), [(True, False), (False, True)])
def test_the_doors_own_page_is_no_stranger_to_a_pool(fleet: Fleet, own: bool, reaches: bool) -> None:
    """Ollama refuses pages that it does not know, and would know this one by an address of its own."""
    origin = f"http://127.0.0.1:{fleet.door.port}" if own else "https://evil.example"
    headers = {"x-api-key": EVERYONE, "origin": origin}
    assert fleet.door.ask("POST", "/api/chat", {"model": "nomic-embed-text"}, headers).status == 200
    assert ("origin" in fleet.pools["k80"].asked[-1].headers) == reaches


def test_the_doors_own_page_may_ask_where_other_pages_are_named(open_door: OpenDoor, ollama: StartOllama) -> None:
    t4 = ollama("t4")
    rules = {"origins": ["https://chat.example.org"], "keys": {"everyone": {}}}
    text = f'[routes]\nm = ["t4"]\n[pools]\nt4 = "{t4.address}"\n'
    door = open_door(text, rules=rules, keys={"everyone": EVERYONE})
    for origin, site, status in (
        (f"http://127.0.0.1:{door.port}", "same-origin", 200),
        (f"http://127.0.0.1:{door.port}", "cross-site", 403),
        ("https://evil.example", "cross-site", 403),
        ("https://evil.example", "", 403),
    ):
        headers = {"x-api-key": EVERYONE, "origin": origin, **({"sec-fetch-site": site} if site else {})}
        assert door.ask("POST", "/api/chat", {"model": "m"}, headers).status == status


def test_requests_and_errors_are_counted_by_model_and_pool(open_door: OpenDoor, ollama: StartOllama) -> None:
    t4 = ollama("t4")
    text = f'[routes]\nm = ["t4"]\nn = ["k80"]\n[pools]\nt4 = "{t4.address}"\nk80 = "127.0.0.1:{free_ports(1)[0]}"\n'
    door = open_door(text)
    t4.models = {"m:latest": "a" * 64}
    assert [door.chat("m").status for _ in range(3)] == [200] * 3
    t4.status = 500
    assert (door.chat("m").status, door.chat("n").status) == (500, 503)

    def counted(kind: str, name: str) -> tuple[int, int]:
        found = {one["name"]: one for one in told(door)[kind]}[name]
        return found["requests"], found["errors"]

    wait_until(lambda: counted("models", "m:latest") == (4, 1))
    assert counted("models", "n:latest") == (1, 1)
    assert counted("pools", "t4") == (4, 1)
    assert "refuses the connection" in pool(door, "k80")["cause"]
    wait_until(lambda: pool(door, "t4")["state"] == "ready")
    assert (pool(door, "k80")["state"], pool(door, "t4")["in_flight"]) == ("down", 0)


def test_a_pool_that_lacks_a_model_and_a_name_that_differs_are_told(open_door: OpenDoor, ollama: StartOllama) -> None:
    one, two = ollama("t4"), ollama("a100")
    one.models, two.models = {"m:latest": "a" * 64}, {"m:latest": "b" * 64, "n:latest": "c" * 64}
    text = '[routes]\nm = ["t4", "a100"]\nn = ["t4", "a100"]\n'
    door = open_door(f'{text}[pools]\nt4 = "{one.address}"\na100 = "{two.address}"\n')
    wait_until(lambda: pool(door, "t4")["state"] == "partial")
    assert pool(door, "t4")["cause"] == "no replica has n:latest yet"
    found = model(door, "m:latest")["digests"]
    assert found == {"a" * 64: [f"t4/{one.address}"], "b" * 64: [f"a100/{two.address}"]}
    wait_until(lambda: model(door, "n:latest")["now"] == ["a100"])


def test_hand_edits_and_a_refused_map_are_told(open_door: OpenDoor, ollama: StartOllama) -> None:
    pools = f'[pools]\nt4 = "{ollama("t4").address}"\na100 = "{ollama("a100").address}"\n'
    door = open_door(f'[routes]\nm = ["t4"]\n{pools}')
    door.edit('[routes]\nm = ["a100"]\n')
    wait_until(lambda: told(door)["map"]["overridden"] == ["m"])
    assert (model(door, "m:latest")["overridden"], model(door, "m:latest")["route"]) == (True, ["a100"])
    door.publish("not a map")
    wait_until(lambda: bool(told(door)["map"]["faults"]))
    assert "not a map: it stands before the first section" in " ".join(told(door)["map"]["faults"])
    assert door.chat("m").pool == "a100"


def test_while_envoys_administration_is_silent_the_rest_is_told(open_door: OpenDoor, ollama: StartOllama) -> None:
    """Asked at the process itself, since Envoy is what is gone."""
    door = open_door(f'[routes]\nm = ["t4"]\n[pools]\nt4 = "{ollama("t4").address}"\n')
    door.envoy.kill()
    door.envoy.wait()
    connection = http.client.HTTPConnection("127.0.0.1", door.beside_port, timeout=10)
    connection.request("GET", "/fleet/status.json")
    found = json.loads(connection.getresponse().read())
    connection.close()
    assert (found["models"][0]["name"], found["pools"][0]["in_flight"]) == ("m:latest", None)


@pytest.fixture
def command(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str, key: str | None = EVERYONE, url: str = "") -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", "120")
        monkeypatch.setenv("PATH", "/nonexistent")  # no Pulumi to ask for a key
        monkeypatch.delenv("FLEET_API_KEY", raising=False)
        if key:
            monkeypatch.setenv("FLEET_API_KEY", key)
        status = main(["status", "--url", url or f"http://127.0.0.1:{fleet.door.port}", *arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_fleet_status_shows_the_fleet_and_why_a_pool_is_not_ready(
    command: Callable[..., tuple[int, str, str]],
) -> None:
    status, out, _ = command()
    assert status == 0, "a pool that sleeps is no fault"
    assert re.search(r"^t4 +ready +0 .*0\.32\.15: llama3\.1:8b", out, re.MULTILINE), out
    assert re.search(r"^llama3\.1:8b +t4 > k80 ", out, re.MULTILINE)
    assert re.search(r"^embedder:latest .*stands for nomic-embed-text", out, re.MULTILINE)
    causes = [line for line in out.splitlines() if line.startswith("away ")]
    assert "away  nowhere.invalid has no address: it sleeps, or none of its pods is ready" in causes
    assert "2 of 3 pools ready" in out


def test_fleet_status_writes_what_the_door_says_as_json(command: Callable[..., tuple[int, str, str]]) -> None:
    status, out, _ = command("--format", "json")
    assert (status, {one["name"] for one in json.loads(out)["pools"]}) == (0, {"away", "k80", "t4"})


@pytest.mark.parametrize(("key", "cause"), [("", "it asks for a key"), ("wrong-key-0123456789", "not known there")])
def test_fleet_status_without_the_right_key_says_how_to_get_it(
    command: Callable[..., tuple[int, str, str]], key: str, cause: str
) -> None:
    status, out, err = command(key=key or None)
    assert (status, out) == (2, "")
    assert cause in err
    assert "pulumi stack output --show-secrets apiKeys" in err
    assert "wrong-key" not in err


@pytest.mark.parametrize("key", ["two\nlines", "käse"])
def test_fleet_status_sends_no_key_that_cannot_be_one(command: Callable[..., tuple[int, str, str]], key: str) -> None:
    status, _, err = command(key=key)
    assert status == 2
    assert "FLEET_API_KEY: it has more in it" in err
    assert key not in err


def test_fleet_status_names_an_authority_that_is_none(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for file in ("empty.pem", "missing.pem"):
        status, _, err = command("--ca", str(tmp_path / file))
        assert status == 2
        assert f"--ca: {tmp_path / file}" in err


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:8080", "http://127.0.0.1:9", "http://", "http://[x"])
def test_fleet_status_says_where_no_door_is(command: Callable[..., tuple[int, str, str]], url: str) -> None:
    status, _, err = command(url=url)
    assert status == 2
    assert len(err.strip().splitlines()) == 2


@pytest.mark.parametrize("answer", [b"{}", b"[]", b"null", b"<html>", b'{"map": 1, "pools": 2, "models": 3}'])
def test_fleet_status_takes_no_other_server_for_a_door(
    command: Callable[..., tuple[int, str, str]], answer: bytes
) -> None:
    from router.web import Reply, Web

    (port,) = free_ports(1)
    web = Web("127.0.0.1", port, {("GET", "/fleet/status.json"): lambda: Reply(text=answer.decode())})
    try:
        status, _, err = command(url=f"http://127.0.0.1:{port}")
    finally:
        web.close()
    assert (status, "is not what a door answers" in err) == (2, True)


def test_fleet_status_with_a_pool_that_is_down_ends_with_1(
    open_door: OpenDoor, command: Callable[..., tuple[int, str, str]]
) -> None:
    door = open_door('[routes]\nm = ["t4"]\n[pools]\nt4 = "127.0.0.1:9"\n')
    wait_until(lambda: pool(door, "t4")["cause"] != "no replica has answered yet")
    status, out, _ = command(url=f"http://127.0.0.1:{door.port}", key=None)
    assert status == 1
    assert re.search(r"^t4 +127\.0\.0\.1:9 refuses the connection$", out, re.MULTILINE), out
