"""What may stand beside the router: monitoring, the chat page, the load test. Only where the file asks for it."""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.commands.manifests import objects, render
from infra.problem import has_errors
from infra.recorder import RecordedResource, Recording, Secret, reveal
from router import certificate, terminating
from tests.program.programs import WATCHED, Program, plan_of, run
from tests.program.rules.security import restricted
from tests.program.rules.view import COMPONENT, DAEMON_SET, DEPLOYMENT, NETWORK_POLICY, SERVICE

GOLDEN = Path(__file__).parent / "golden" / "beside.json"
CHAT, LOAD_TEST, MONITORING, GPUS = "ollama-chat", "ollama-loadtest", "ollama-fleet", "nvidia-dcgm"
CRON_JOB = "kubernetes:batch/v1:CronJob"


@pytest.fixture(scope="module")
def watched(program_of: Callable[[str], Program]) -> Program:
    return program_of("watched")


def fleet(**changes: Any) -> Recording:
    changed = {**WATCHED, **changes}
    assert not has_errors(plan_of(changed).problems)
    return run(changed)


def beside(recording: Recording) -> Iterator[RecordedResource]:
    for one in recording.resources:
        name = (one.inputs.get("metadata") or {}).get("name", "")
        if one.type.startswith("kubernetes:") and name.startswith((CHAT, LOAD_TEST, MONITORING, GPUS)):
            yield one


def one(recording: Recording, type_: str, name: str) -> Any:
    (found,) = [one for one in recording.of_type(type_) if one.name == name]
    return reveal(found.inputs)


def test_every_object_is_the_one_that_was_read_by_a_person(watched: Program) -> None:
    """Renew it with UPDATE_GOLDEN=1 and read the difference. Programs and dashboards are left out: they have tests."""
    names = {resource.inputs["metadata"]["name"] for resource in beside(watched.known)}
    there = [dict(manifest) for manifest in objects(watched.known) if manifest["metadata"]["name"] in names]
    for manifest in there:
        if manifest["kind"] == "ConfigMap":
            manifest["data"] = sorted(manifest["data"])
        if manifest["kind"] == "Rules":
            manifest["spec"] = [rule.get("alert", rule.get("record")) for group in manifest["spec"]["groups"]
                                for rule in group["rules"]]  # fmt: skip
    text = json.dumps(there, indent=1, sort_keys=True) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_by_default_none_of_it_is_made(dev: Program) -> None:
    assert list(beside(dev.known)) == []
    assert not {"Chat", "LoadTest", "Monitoring", "GpuExporter"} & {
        one.type.removeprefix(COMPONENT) for one in dev.known.resources
    }
    assert dev.plan.router.keys == ("everyone",)


def test_a_load_test_never_starts_by_itself(watched: Program) -> None:
    spec = one(watched.known, CRON_JOB, "fleet-load-test-job")["spec"]
    assert spec["suspend"] is True
    assert not [resource for resource in watched.known.resources if resource.type == "kubernetes:batch/v1:Job"]


def test_its_pod_satisfies_the_restricted_profile_and_runs_what_the_file_says(watched: Program) -> None:
    job = one(watched.known, CRON_JOB, "fleet-load-test-job")["spec"]["jobTemplate"]["spec"]
    pod = job["template"]["spec"]
    assert list(restricted(pod)) == []
    command = " ".join(pod["containers"][0]["command"])
    assert "--users 20 --seconds 180" in command
    assert "--believe" not in command
    assert job["activeDeadlineSeconds"] > 180
    assert job["backoffLimit"] == 0


def test_the_program_that_it_mounts_is_the_whole_of_the_load_test(watched: Program) -> None:
    data = one(watched.known, "kubernetes:core/v1:ConfigMap", "fleet-load-test-program")["data"]
    there = {path.name for path in (Path(__file__).parents[2] / "loadtest").iterdir() if path.is_file()}
    assert set(data) == there >= {"__main__.py", "mix.toml", "run.py"}


def test_each_of_the_fleets_own_clients_has_a_key_of_its_own(watched: Program) -> None:
    assert watched.plan.router.keys == ("chat", "loadtest", "search")
    keys = reveal(watched.known.stack_outputs["apiKeys"])
    chat = one(watched.known, "kubernetes:core/v1:Secret", "fleet-chat-secret")["stringData"]
    test = one(watched.known, "kubernetes:core/v1:Secret", "fleet-load-test-key")["stringData"]
    assert chat["OPENAI_API_KEY"] == keys["chat"] != keys["loadtest"] == test["key"]
    assert chat["RAG_OPENAI_API_KEY"] == keys["chat"]
    assert len({*chat.values(), *keys.values()}) == 5, "no two of them are the same secret"


def test_a_key_named_chat_in_the_file_bounds_what_the_chat_may_ask() -> None:
    bounded = plan_of({**WATCHED, "router": {"keys": {"chat": {"models": ["llama3.1:8b"]}}}})
    assert bounded.router.keys == ("chat", "loadtest")
    assert json.loads(bounded.router.rules)["keys"]["chat"] == {"models": ["llama3.1:8b"]}


def test_where_nobody_needs_a_key_there_is_none() -> None:
    recording = fleet(router={"auth": "none"})
    pod = one(recording, CRON_JOB, "fleet-load-test-job")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert "FLEET_API_KEY" not in {entry["name"] for entry in pod["containers"][0]["env"]}
    assert one(recording, "kubernetes:core/v1:Secret", "fleet-chat-secret")["stringData"]["OPENAI_API_KEY"] == "none"


def page(recording: Recording) -> Any:
    return one(recording, DEPLOYMENT, "fleet-chat-deployment")["spec"]["template"]["spec"]


def environment(recording: Recording) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in page(recording)["containers"][0]["env"]}


def test_people_sign_in_and_nobody_signs_up(watched: Program) -> None:
    said = environment(watched.known)
    assert said["WEBUI_AUTH"] == "true"
    assert said["ENABLE_SIGNUP"] == "false"
    assert said["ENABLE_PERSISTENT_CONFIG"] == "false"
    account = watched.known.stack_outputs["chat"]
    assert isinstance(account, Secret)
    assert set(reveal(account)) == {"url", "email", "password"}  # type: ignore[arg-type]


def test_the_chat_asks_the_door_and_reads_documents_with_the_fleets_own_model(watched: Program) -> None:
    said = environment(watched.known)
    assert said["OPENAI_API_BASE_URL"] == "http://ollama-router.ollama.svc.cluster.local/v1"
    assert (said["RAG_EMBEDDING_ENGINE"], said["RAG_EMBEDDING_MODEL"]) == ("openai", "nomic-embed-text")
    assert "RAG_EMBEDDING_MODEL" not in environment(fleet(models={"llama3.1:8b": ["t4"]}))


@pytest.mark.parametrize(
    ("expose", "kind", "annotated"),
    [("cluster", "ClusterIP", None), ("internal", "LoadBalancer", "Internal"), ("public", "LoadBalancer", None)],
)
def test_the_chat_is_exposed_as_the_router_is(expose: str, kind: str, annotated: str | None) -> None:
    ranges = [] if expose == "cluster" else ["198.51.100.0/24"]
    recording = fleet(router={"expose": expose, "tls": "door", "sourceRanges": ranges})
    chat, router = (one(recording, SERVICE, f"fleet-{name}-service") for name in ("chat", "router"))
    assert chat["spec"]["type"] == router["spec"]["type"] == kind
    for key in ("externalTrafficPolicy", "loadBalancerSourceRanges"):
        assert chat["spec"].get(key) == router["spec"].get(key)
    assert [port["port"] for port in chat["spec"]["ports"]] == [port["port"] for port in router["spec"]["ports"]]
    assert (chat["metadata"].get("annotations") or {}).get("networking.gke.io/load-balancer-type") == annotated
    policy = one(recording, NETWORK_POLICY, "fleet-chat-network-policy")["spec"]["ingress"]
    assert [peer["ipBlock"]["cidr"] for peer in policy[0].get("from", []) if "ipBlock" in peer] == ranges
    addresses = {address.name: address for address in recording.of_type("gcp:compute/address:Address")}
    assert set(addresses) == ({"fleet-router-address", "fleet-chat-address"} if expose == "public" else set())
    apis = [api.urn for api in recording.of_type("gcp:projects/service:Service")]
    assert all(set(apis) <= set(address.depends_on) for address in addresses.values())


def test_a_page_with_a_certificate_has_an_envoy_before_it_and_one_without_has_none() -> None:
    plain = fleet(chat=True)
    assert [container["name"] for container in page(plain)["containers"]] == ["chat"]
    # the router's certificate, unless it has its own
    for chat, secret in ((True, "door"), ({"tls": "talk"}, "talk")):
        recording = fleet(chat=chat, router={"tls": "door"})
        pod = page(recording)
        assert [container["name"] for container in pod["containers"]] == ["chat", "envoy"]
        assert secret in [(volume.get("secret") or {}).get("secretName") for volume in pod["volumes"]]
        files = one(recording, "kubernetes:core/v1:ConfigMap", "fleet-chat-tls")["data"]
        assert set(files) == {"envoy.json", certificate.FILE, terminating.AUTHORITY}
        command = one(recording, CRON_JOB, "fleet-load-test-job")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        asks = command["containers"][0]["command"]
        assert "--insecure" not in asks
        assert asks[asks.index("--believe") + 1] == "/etc/ollama-fleet/door/tls.crt"
        assert "--host" not in asks
        (volume,) = [one for one in command["volumes"] if one["name"] == "door"]
        assert [item["key"] for item in volume["secret"]["items"]] == ["tls.crt"], "of its Secret the certificate alone"


def test_the_chat_asks_a_door_with_tls_through_its_envoy_which_sees_the_certificate_and_not_its_key() -> None:
    recording = fleet(chat={"tls": "talk"}, router={"tls": "door", "host": "llm.example.org"})
    said = environment(recording)
    assert said["OPENAI_API_BASE_URL"] == said["RAG_OPENAI_API_BASE_URL"] == "http://127.0.0.1:8081/v1"
    job = one(recording, CRON_JOB, "fleet-load-test-job")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    asks = job["containers"][0]["command"]
    assert asks[asks.index("--host") + 1] == "llm.example.org"
    assert not [name for name in said if "SSL" in name], "it compares the certificates of everybody else"
    pod = page(recording)
    (volume,) = [one for one in pod["volumes"] if one["name"] == "door"]
    assert volume["secret"]["secretName"] == "door"
    assert [item["key"] for item in volume["secret"]["items"]] == ["tls.crt"]
    mounted = {mount["name"]: mount["mountPath"] for mount in pod["containers"][1]["volumeMounts"]}
    data = one(recording, "kubernetes:core/v1:ConfigMap", "fleet-chat-tls")["data"]
    (authority,) = json.loads(data[terminating.AUTHORITY])["resources"]
    assert authority["validation_context"]["trusted_ca"]["filename"] == f"{mounted['door']}/tls.crt"
    assert "llm.example.org" in json.dumps(authority["validation_context"]["match_typed_subject_alt_names"])
    assert "ollama-router.ollama.svc.cluster.local" in data["envoy.json"]
    assert environment(fleet(chat={"tls": "talk"}))["OPENAI_API_BASE_URL"].startswith("http://ollama-router.")


def test_a_certificate_of_which_nobody_says_the_name_is_told_of() -> None:
    def said(**router: str) -> list[str]:
        problems = plan_of({**WATCHED, "router": {"tls": "door", **router}}).problems
        return [one.message for one in problems if one.place == "fleet.router.host"]

    assert len(said()) == 1
    assert "any name of its authority is good" in said()[0]
    assert said(host="llm.example.org") == []
    data = one(fleet(router={"tls": "door"}), "kubernetes:core/v1:ConfigMap", "fleet-chat-tls")["data"]
    assert "match_typed_subject_alt_names" not in data[terminating.AUTHORITY]


KINDS = {
    "managed": {"monitoring.googleapis.com/v1 PodMonitoring", "monitoring.googleapis.com/v1 Rules"},
    "serviceMonitor": {"monitoring.coreos.com/v1 ServiceMonitor", "monitoring.coreos.com/v1 PrometheusRule"},
    "annotations": {"v1 ConfigMap"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_who_scrapes_finds_every_router_and_has_the_rules(kind: str) -> None:
    recording = fleet(monitoring={"kind": kind, "dashboards": False})
    made = [one for one in recording.resources if one.name.startswith("fleet-monitoring-")]
    assert {f"{one.inputs['apiVersion']} {one.inputs['kind']}" for one in made} == KINDS[kind]
    text = json.dumps([reveal(one.inputs) for one in made])
    assert "FleetPoolDown" in text
    metrics = one(recording, SERVICE, "fleet-router-metrics-service")
    annotations = metrics["metadata"].get("annotations") or {}
    assert annotations.get("prometheus.io/scrape") == ("true" if kind == "annotations" else None)
    if kind != "annotations":
        scrape = one(
            recording, next(one.type for one in made if one.name.endswith("scrape")), "fleet-monitoring-scrape"
        )
        assert scrape["spec"]["selector"]["matchLabels"] == metrics["spec"]["selector"]
        assert scrape["spec"]["endpoints"][0]["port"] == metrics["spec"]["ports"][0]["name"]


def test_dashboards_are_there_unless_the_file_leaves_them_out(watched: Program) -> None:
    there = [one.name for one in watched.known.resources if "dashboard" in one.name]
    assert sorted(there) == [f"fleet-monitoring-dashboard-{one}" for one in ("fleet", "gpus", "model")]
    without = fleet(monitoring="managed")
    assert not [one for one in without.resources if one.name == "fleet-monitoring-dashboard-gpus"]


def exporter(recording: Recording, pool: str = "t4") -> Any:
    return one(recording, DAEMON_SET, f"fleet-gpu-exporter-{pool}")


def test_gpus_are_read_on_the_nodes_of_their_pool_and_only_where_the_file_asks_for_it(watched: Program) -> None:
    pod = exporter(watched.known)["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"ollama-fleet/pool": "t4"}
    assert {entry["key"] for entry in pod["tolerations"]} == {"ollama-fleet/pool", "nvidia.com/gpu"}
    assert "nvidia.com/gpu" not in json.dumps([one["resources"] for one in pod["containers"]]), "it takes no GPU"
    without = fleet(monitoring="managed")
    assert not [one for one in without.resources if "gpu-exporter" in one.name]


def test_the_exporter_starts_once_the_planned_driver_is_loaded_and_finds_its_libraries(watched: Program) -> None:
    (driver,) = [one for one in watched.known.of_type(DAEMON_SET) if one.name == "t4-driver-daemon-set"]
    (own,) = [one for one in watched.known.of_type(DAEMON_SET) if one.name == "fleet-gpu-exporter-t4"]
    verifies = reveal(driver.inputs)["spec"]["template"]["spec"]["initContainers"][-1]  # type: ignore[call-overload,index]
    pod = exporter(watched.known)["spec"]["template"]["spec"]
    (waits,) = pod["initContainers"]
    assert {**waits, "env": None} == {**verifies, "env": None}
    said = {entry["name"]: entry["value"] for entry in waits["env"]}
    assert said["DRIVER_EXPECTED"] == "580."
    assert int(said["DRIVER_WAIT_SECONDS"]) >= 300, "the driver is installed while it waits"
    assert driver.urn in own.depends_on
    (container,) = pod["containers"]
    assert {"name": "LD_LIBRARY_PATH", "value": "/usr/local/nvidia/lib64"} in container["env"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["libraries"]["hostPath"] == {"path": "/home/kubernetes/bin/nvidia"}
    assert all(mount["readOnly"] for mount in container["volumeMounts"])
    assert exporter(watched.known)["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}


def test_it_reads_what_the_dashboard_shows_and_is_started_again_when_that_changes(watched: Program) -> None:
    counters = one(watched.known, "kubernetes:core/v1:ConfigMap", "fleet-gpu-exporter-counters")["data"]
    template = exporter(watched.known)["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert container["args"][:2] == ["--collectors", "/etc/ollama-fleet/gpus/counters.csv"]
    assert list(counters) == ["counters.csv"]
    dashboard = one(watched.known, "kubernetes:core/v1:ConfigMap", "fleet-monitoring-dashboard-gpus")["data"][
        "gpus.json"
    ]
    read = {line.split(",")[0] for line in counters["counters.csv"].splitlines()}
    assert set(re.findall(r"DCGM_[A-Z_]+", dashboard)) == read
    assert "ollama-fleet/counters" in template["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("kind", "made", "hands_on"),
    [
        ("managed", "monitoring.googleapis.com/v1 PodMonitoring", {"targetLabels": {"fromPod": [{"from": "pool"}]}}),
        ("serviceMonitor", "monitoring.coreos.com/v1 PodMonitor", {"podTargetLabels": ["pool"]}),
        ("annotations", "", {}),
    ],
)
def test_each_scraper_finds_the_exporters_and_says_their_pool(kind: str, made: str, hands_on: dict[str, Any]) -> None:
    recording = fleet(monitoring={"kind": kind, "gpus": True})
    template = exporter(recording)["spec"]["template"]
    assert template["metadata"]["labels"]["pool"] == "t4"
    scrapes = [reveal(one.inputs) for one in recording.resources if one.name == "fleet-gpu-exporter-scrape"]
    assert [f"{one['apiVersion']} {one['kind']}" for one in scrapes] == ([made] if made else [])  # type: ignore[call-overload,index]
    (container,) = template["spec"]["containers"]
    for scrape in scrapes:
        spec = scrape["spec"]  # type: ignore[call-overload,index]
        assert spec["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        (endpoint,) = spec.get("endpoints") or spec["podMetricsEndpoints"]
        assert endpoint["port"] == container["ports"][0]["name"]
        assert hands_on.items() <= spec.items()
    looks = template["metadata"]["annotations"].get("prometheus.io/port")
    assert looks == ("9400" if kind == "annotations" else None)


def test_only_scrapers_reach_the_exporter_and_it_reaches_nobody(watched: Program) -> None:
    policy = one(watched.known, NETWORK_POLICY, "fleet-gpu-exporter-network-policy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policy
    labels = exporter(watched.known)["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert [port["port"] for rule in policy["ingress"] for port in rule["ports"]] == ["metrics"]


def test_a_fleet_whose_gpus_are_all_elsewhere_has_no_exporter() -> None:
    pools = {"cpu": {"gpu": "none"}}
    recording = fleet(pools=pools, models={"llama3.2:3b": ["cpu"]}, monitoring={"gpus": True}, router={})
    assert not [one for one in recording.resources if "gpu" in one.name]


def test_without_a_cluster_each_of_them_is_said_to_make_nothing() -> None:
    plan = plan_of({**WATCHED, "gke": None, "pools": {}, "models": {}})
    said = {one.place for one in plan.problems if "no gke: nothing is made" in one.message}
    assert said == {"fleet.chat", "fleet.monitoring", "fleet.loadTest"}


def test_the_manifests_hold_no_secret_of_it(watched: Program) -> None:
    text = render(watched.known)
    for value in reveal(watched.known.stack_outputs["apiKeys"]).values():
        assert value not in text
    assert reveal(watched.known.stack_outputs["chat"])["password"] not in text
