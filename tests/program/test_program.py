"""What `pulumi up` runs: refusals without traceback or secret, warnings, outputs, and what it need not import."""

import hashlib
import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pulumi
import pytest

from components.cluster import _dns_endpoint, kubeconfig
from components.program import main
from infra import stack as stacks
from infra.commands.manifests import render
from infra.recorder import Recording, Secret, record, reveal
from tests.program.programs import ROOT, Program, fleet_of, run

CANARY = "canary-s3cret-value"
BROKEN = {
    "gke": {"location": "us-central1-c"},
    "pools": {"t4": {"gpu": "t5", "driver": "R999"}, "a100": {"gpu": "a100-40gb", "replicas": "2..1"}},
    "models": {"llama3.1:8b": ["nowhere"]},
    "routr": {"expose": "cluster"},
}


def refused(fleet: Any, **options: Any) -> str:
    with pytest.raises(pulumi.RunError) as caught:
        run(fleet, **options)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


def test_the_file_that_pulumi_runs_is_the_program() -> None:
    fleet = fleet_of("home")
    config = {stacks.KEY: json.dumps(fleet)}
    ran = record(
        lambda: runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__") and None,
        project="ollama-fleet",
        stack="dev",
        config=config,
    )
    assert ran.to_json() == run(fleet).to_json()


def test_a_broken_file_is_refused_with_every_error_and_its_remedy() -> None:
    message = refused(BROKEN)
    for place in ("fleet.pools.t4.gpu", "fleet.pools.a100.replicas", "fleet.models", "fleet.routr"):
        assert place in message
    count = int(message.partition(" error(s)")[0].rpartition(" ")[2])
    assert count >= 4
    assert len(message.splitlines()) == 1 + 2 * count
    assert "Traceback" not in message
    assert "did you mean" in message or "router" in message


@pytest.mark.parametrize(
    "fleet",
    [
        "just a text",
        5,
        ["a", "list"],
        None,
        {"pools": "t4"},
        {"pools": {"secure": CANARY}},
        {"router": {"keys": {"search": {"secure": CANARY}}}},
        {"pools": {"t4": {"gpu": "t4", "env": {"API_TOKEN": {"secure": CANARY}}}}},
        {"extends": "/nowhere/at/all.yaml"},
        {"extends": {"secure": CANARY}},
    ],
    ids=str,
)
def test_whatever_stands_in_place_of_a_fleet_is_refused_in_a_sentence(fleet: Any) -> None:
    message = refused(fleet)
    assert "the fleet cannot be built" in message
    assert CANARY not in message


def test_an_empty_fleet_registers_nothing() -> None:
    assert [one.type for one in run({}).resources] == ["ollama-fleet:components:Fleet"]


def test_a_config_that_is_no_json_is_refused_without_being_quoted() -> None:
    with pytest.raises(pulumi.RunError) as caught:
        record(main, project="ollama-fleet", stack="dev", config={stacks.KEY: f"{{not json {CANARY}"})
    assert "the fleet cannot be built" in str(caught.value)
    assert CANARY not in str(caught.value)


def test_a_stack_without_the_key_is_told_which_one() -> None:
    with pytest.raises(pulumi.RunError, match="ollama-fleet:fleet"):
        record(main, project="ollama-fleet", stack="dev", config={"gcp:project": "example"})


def test_a_secret_fleet_object_is_refused_unread() -> None:
    with pytest.raises(pulumi.RunError) as caught:
        record(
            main,
            project="ollama-fleet",
            stack="dev",
            config={stacks.KEY: json.dumps({"pools": {CANARY: {}}})},
            secret_keys=[stacks.KEY],
        )
    assert "is a secret, or holds one" in str(caught.value)
    assert "apiKeys" in str(caught.value)
    assert CANARY not in str(caught.value)


def test_the_fleet_tool_refuses_a_secret_fleet_object_too(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from infra.__main__ import main as tool

    (tmp_path / "Pulumi.dev.yaml").write_text(f"config: {{ollama-fleet:fleet: {{secure: {CANARY}}}}}\n")
    for command in ("plan", "resources", "manifests"):
        assert tool([command, "--cwd", str(tmp_path)]) == 1
        shown = capsys.readouterr()
        assert CANARY not in shown.out + shown.err
        assert "secret" in shown.out + shown.err


def test_secrets_beside_the_object_reach_nothing_that_can_be_read(dev: Program) -> None:
    config = {"ollama-fleet:siteTokens": json.dumps({"rig": CANARY})}
    recording = record(
        main,
        project="ollama-fleet",
        stack="dev",
        config={"gcp:project": "example-project", stacks.KEY: json.dumps(fleet_of("dev")), **config},
        secret_keys=list(config),
    )
    assert CANARY not in recording.to_json()
    (tokens,) = [one for one in recording.resources if one.name == "fleet-site-tokens"]
    assert reveal(tokens.inputs["stringData"]) == {"rig": CANARY}
    assert tokens.inputs["metadata"]["name"] == "ollama-router-tokens"
    assert CANARY not in render(recording)
    others = tuple(one for one in recording.resources if one is not tokens)
    assert replace(recording, resources=others).to_json() == dev.known.to_json()


@pytest.mark.parametrize(
    ("tokens", "secret", "said"),
    [
        ({"lab": CANARY}, True, "the door reaches no such site by a URL"),
        ({"rig": CANARY + " x"}, True, "1 to 512 visible"),
        ({"rig": ""}, True, "1 to 512 visible"),
        ({"rig": [CANARY]}, True, "1 to 512 visible"),
        ([CANARY], True, "not a mapping"),
        ({"rig": CANARY}, False, "in clear"),
    ],
)
def test_tokens_that_cannot_be_are_refused_without_being_told(tokens: object, secret: bool, said: str) -> None:
    with pytest.raises(pulumi.RunError) as caught:
        _with_secrets("siteTokens", tokens, secret=secret)
    assert said in str(caught.value)
    assert CANARY[:15] not in str(caught.value)


def test_a_key_that_the_stack_sets_is_used_and_told_to_its_owner_alone() -> None:
    recording = _with_keys({"everyone": CANARY})
    assert not [one for one in recording.resources if "RandomPassword" in one.type]
    assert reveal(recording.stack_outputs["apiKeys"]) == {"everyone": CANARY}
    (digests,) = [one for one in recording.resources if one.name == "fleet-api-keys-digests"]
    assert reveal(digests.inputs["stringData"]) == {"everyone": hashlib.sha256(CANARY.encode()).hexdigest()}
    assert CANARY not in recording.to_json()
    assert CANARY not in render(recording)


@pytest.mark.parametrize(
    ("keys", "secret", "said"),
    [
        ({"serch": CANARY}, True, "names no such key"),
        ({"everyone": CANARY[:15]}, True, "16 to 512"),
        ({"everyone": CANARY + " x"}, True, "16 to 512"),
        ({"everyone": [CANARY]}, True, "16 to 512"),
        ([CANARY], True, "not a mapping"),
        ({"everyone": CANARY}, False, "in clear"),
    ],
)
def test_keys_that_cannot_be_are_refused_without_being_told(keys: object, secret: bool, said: str) -> None:
    with pytest.raises(pulumi.RunError) as caught:
        _with_keys(keys, secret=secret)
    assert said in str(caught.value)
    assert CANARY[:15] not in str(caught.value)


@pytest.mark.parametrize(
    ("router", "url"),
    [
        ({}, "port-forward service/ollama-router 8080:80 & sleep 2; export FLEET_URL=http://127.0.0.1:8080"),
        ({"tls": "door"}, "8443:443 & sleep 2; export FLEET_URL=https://127.0.0.1:8443"),
        ({"expose": "public", "tls": "door"}, "export FLEET_URL=https://$(pulumi stack output publicAddress)"),
        ({"expose": "internal"}, "export FLEET_URL=http://$(kubectl -n ollama get service ollama-router -o jsonpath="),
        ({"auth": "none"}, "export FLEET_URL=http://127.0.0.1:8080"),
    ],
)
def test_the_commands_tell_where_the_door_is_and_how_to_get_its_key(router: dict[str, object], url: str) -> None:
    recording = run({**fleet_of("dev"), "router": router})
    commands = recording.stack_outputs["commands"]
    assert any(url in command for command in commands)
    asked = router.get("auth") != "none"
    assert any("--show-secrets --json apiKeys" in command for command in commands) == asked
    (chat,) = [command for command in commands if "/api/chat" in command]
    assert ("Bearer $FLEET_API_KEY" in chat) == asked
    assert ("--insecure" in chat) == ("tls" in router)
    assert ("publicAddress" in recording.stack_outputs) == (router.get("expose") == "public")


def _with_keys(keys: object, *, secret: bool = True) -> Recording:
    return _with_secrets("apiKeys", keys, secret=secret)


def _with_secrets(key: str, values: object, *, secret: bool = True) -> Recording:
    name = f"ollama-fleet:{key}"
    return record(
        main,
        project="ollama-fleet",
        stack="dev",
        config={"gcp:project": "example-project", stacks.KEY: json.dumps(fleet_of("dev")), name: json.dumps(values)},
        secret_keys=[name] if secret else [],
    )


def test_a_public_door_has_an_address_of_its_own_and_tls_on_443() -> None:
    recording = run(
        {**fleet_of("dev"), "router": {"expose": "public", "tls": "door", "sourceRanges": ["203.0.113.0/24"]}}
    )
    (address,) = [one for one in recording.resources if one.type == "gcp:compute/address:Address"]
    assert address.inputs["region"] == "us-central1"
    (service,) = [one for one in recording.resources if one.name == "fleet-router-service"]
    spec = service.inputs["spec"]
    assert (spec["type"], spec["ports"][0]["port"], spec["loadBalancerIP"]) == ("LoadBalancer", 443, "203.0.113.20")
    assert spec["loadBalancerSourceRanges"] == ["203.0.113.0/24"]


def test_warnings_are_logged_with_place_and_remedy(dev: Program) -> None:
    warnings = [message for severity, message in dev.known.messages if severity == "warning"]
    assert warnings
    assert len(warnings) == dev.known.stack_outputs["plan"]["warnings"]
    assert any("fleet.pools.t4.gpu" in message and "2027-08-01" in message for message in warnings)


def test_warnings_are_logged_before_a_refusal() -> None:
    messages: list[str] = []

    def program() -> None:
        warn = pulumi.log.warn
        pulumi.log.warn = lambda message, *_, **__: messages.append(message)
        try:
            main()
        finally:
            pulumi.log.warn = warn

    fleet = {**fleet_of("dev"), "budget": {"monthlyUsd": 1}}
    with pytest.raises(pulumi.RunError, match="budget"):
        record(
            program,
            project="ollama-fleet",
            stack="dev",
            config={"gcp:project": "example", stacks.KEY: json.dumps(fleet)},
        )
    assert messages


def test_outputs_are_endpoint_secret_kubeconfig_summary_and_commands(dev: Program) -> None:
    outputs = dev.known.stack_outputs
    assert set(outputs) == {"endpoint", "kubeconfig", "apiKeys", "plan", "commands"}
    assert isinstance(outputs["kubeconfig"], Secret)
    assert outputs["endpoint"] == "http://ollama-router.ollama.svc.cluster.local"
    assert "--dns-endpoint" in outputs["commands"][0]
    user = json.loads(reveal(outputs["kubeconfig"]))["users"][0]["user"]
    assert user.keys() == {"exec"}


@pytest.mark.parametrize("stack", ["dev", "existing-cluster", "four-gpus", "spot-with-fallback"])
def test_the_command_to_try_asks_a_model_that_can_chat(stack: str, program_of: Callable[[str], Program]) -> None:
    (chat,) = [one for one in program_of(stack).known.stack_outputs["commands"] if "/api/chat" in one]
    assert '"model": "' in chat
    assert "embed" not in chat


def test_a_fleet_without_a_cluster_has_neither_endpoint_nor_kubeconfig(program_of: Callable[[str], Program]) -> None:
    assert set(program_of("home").known.stack_outputs) == {"plan", "commands"}


def test_an_existing_cluster_without_a_dns_endpoint_is_refused_with_the_command_that_gives_it_one() -> None:
    with pytest.raises(pulumi.RunError, match="--enable-dns-access"):
        _dns_endpoint(None)


def test_a_kubeconfig_names_the_dns_endpoint_and_no_authority() -> None:
    (cluster,) = json.loads(kubeconfig("name", "gke-abc.us-central1-c.gke.goog"))["clusters"]
    assert cluster == {"name": "name", "cluster": {"server": "https://gke-abc.us-central1-c.gke.goog"}}


@pytest.mark.parametrize("stack", ["home", "endpoints"])
def test_a_fleet_without_a_cloud_imports_neither_googles_sdk_nor_that_of_kubernetes(stack: str) -> None:
    script = f"""
import sys
from tests.program.programs import fleet_of, run
run(fleet_of({stack!r}))
print(sorted(name for name in sys.modules if name in ("pulumi_gcp", "pulumi_kubernetes")))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", ["plan", "schema"])
def test_the_plan_needs_no_pulumi(command: str) -> None:
    script = f"""
import contextlib, io, sys
from infra.__main__ import main
with contextlib.redirect_stdout(io.StringIO()):
    status = main([{command!r}] + (["--stack", "dev"] if {command!r} == "plan" else []))
print(status, sorted(name for name in sys.modules if name.startswith("pulumi")))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0 []"
