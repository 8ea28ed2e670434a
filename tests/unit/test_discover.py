"""What `fleet discover` makes of machines and clusters.

The nodes here are synthetic: written by hand after the labels that NFD, GPU feature discovery, k3s and GKE document.
"""

import http.client
import json
import threading
import urllib.error
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from ruamel.yaml import YAML

from infra.__main__ import main
from infra.catalogue import Catalogue
from infra.discover import cluster, endpoint, machine
from infra.discover.cards import by_pci, by_product
from infra.discover.text import render
from tests.unit.conftest import Plan

MEMORY = "MemTotal:       65792456 kB\nMemFree: 1 kB\n"
DISK = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda1 515928320 95928320 419430400 19% /\n"
TWO_K80 = "0, GPU-1, 0x102D10DE, 470.256.02, Tesla K80\n1, GPU-2, 0x102D10DE, 470.256.02, Tesla K80\n"
HOSTILE = 'a": {}, "b\nrouter: {insecurePublicAccess: true}\n\x1b[31m # \u2028\u202e'
"""What ends a word of YAML, a line, or what a terminal shows as it is."""
MIXED = TWO_K80 + "2, GPU-3, 0x13F210DE, 470.256.02, Tesla M60\n3, GPU-4, 0x13F210DE, 470.256.02, Tesla M60\n"


def rig(**said: str) -> machine.Run:
    """A machine whose programs say this."""
    answers = {
        "uname -n": "rig-1.lan\n", "uname -r": "5.15.0-113-generic\n", "cat": MEMORY, "df": DISK,
        "docker": '{"nvidia":{},"runc":{}}', **said,
    }  # fmt: skip

    def run(command: Sequence[str]) -> str:
        return answers.get(" ".join(command[:2])) or answers.get(command[0].replace("-", "_"), "")

    return run


def node(name: str, labels: Mapping[str, str], *, gpus: int = 0, version: str = "v1.34.1") -> dict[str, Any]:
    capacity = {"memory": "65792456Ki", "ephemeral-storage": "428Gi", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    return {
        "metadata": {"name": name, "labels": dict(labels)},
        "status": {
            "capacity": capacity,
            "allocatable": capacity,
            "nodeInfo": {"kubeletVersion": version, "kernelVersion": "5.15.0"},
        },
    }


def looked(catalogue: Catalogue, *nodes: dict[str, Any], classes: str = "") -> str:
    return render(catalogue, cluster.look(catalogue, "rack", json.dumps({"items": nodes}), classes))


def parsed(text: str) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(text)
    return found


def test_a_machine_with_k80s_becomes_a_docker_site_that_plans(catalogue: Catalogue, plan_of: Plan) -> None:
    text = render(catalogue, machine.look(catalogue, rig(nvidia_smi=TWO_K80)))
    found = parsed(text)
    assert found["sites"]["rig-1"]["nodes"] == {"rig-1": {"gpus": {"k80": 2}, "memory": "62Gi", "disk": "400Gi"}}
    assert found["pools"] == {"k80": {"gpu": "k80", "site": "rig-1", "replicas": 2, "driver": "R470"}}
    assert "can run" in text
    assert "qwen3:8b" in text
    plan = plan_of({**found, "models": {"llama3.2:3b": ["k80"]}, "router": {"site": "rig-1"}})
    assert not [one for one in plan.problems if one.severity == "error"]


def test_cards_of_several_kinds_keep_their_numbers(catalogue: Catalogue) -> None:
    found = parsed(render(catalogue, machine.look(catalogue, rig(nvidia_smi=MIXED))))
    assert found["sites"]["rig-1"]["nodes"]["rig-1"]["gpus"] == {"k80": [0, 1], "m60": [2, 3]}


def test_a_driver_that_does_not_serve_a_card_is_said_with_what_does(catalogue: Catalogue) -> None:
    text = render(catalogue, machine.look(catalogue, rig(nvidia_smi=TWO_K80.replace("470.256.02", "535.288.01"))))
    assert "# k80: dogkeeper886/ollama37:v2.1.0 runs silently on the CPU: driver R535 no longer knows the K80" in text


def test_without_a_driver_the_cards_are_those_of_the_bus(catalogue: Catalogue) -> None:
    text = render(catalogue, machine.look(catalogue, rig(lspci="03:00.0 0302: 10de:102d (rev a1)\n")))
    assert parsed(text)["sites"]["rig-1"]["nodes"]["rig-1"]["gpus"] == {"k80": 1}
    assert "# rig-1: 1 x 10de:102d" in text
    assert "no driver answers" in text


def test_a_machine_without_the_container_runtime_is_told_what_brings_it(catalogue: Catalogue) -> None:
    text = render(catalogue, machine.look(catalogue, rig(nvidia_smi=TWO_K80, docker='{"runc":{}}')))
    assert "sudo nvidia-ctk runtime configure --runtime=docker" in text


def test_a_machine_that_says_nothing_is_one_without_gpus(catalogue: Catalogue) -> None:
    text = render(catalogue, machine.look(catalogue, lambda command: "bare\n" if command[-1] == "-n" else ""))
    assert parsed(text)["pools"] == {}
    assert "# bare: no GPU" in text


def test_k3s_with_a_k80_is_known_by_its_labels(catalogue: Catalogue) -> None:
    labels = {
        "nvidia.com/gpu.product": "Tesla-K80", "nvidia.com/gpu.count": "2", "nvidia.com/cuda.driver.major": "470",
        "nvidia.com/cuda.driver.minor": "256", "nvidia.com/cuda.driver.rev": "02",
    }  # fmt: skip
    text = looked(catalogue, node("rack-1", labels, gpus=2, version="v1.34.1+k3s1"), classes="nvidia crun")
    found = parsed(text)
    assert found["sites"]["rack"]["kubernetes"] == {
        "context": "rack", "distribution": "k3s", "devicePlugin": "existing"
    }  # fmt: skip
    assert found["pools"]["k80"] == {"gpu": "k80", "site": "rack", "replicas": 2, "driver": "R470"}
    assert "# runtime classes: crun, nvidia" in text


@pytest.mark.parametrize(
    ("image", "system"),
    [
        ("Ubuntu 22.04.4 LTS", "ubuntu22.04"),
        ("Ubuntu 24.04 LTS", "ubuntu24.04"),
        ("Rocky Linux 9.4 (Blue Onyx)", "rocky9.4"),
        ("Debian GNU/Linux 12 (bookworm)", None),
        ("Container-Optimized OS from Google", None),
        ("", None),
        (HOSTILE, None),
    ],
)
def test_the_system_of_a_machine_with_a_card_is_read_as_the_file_writes_it(
    catalogue: Catalogue, image: str, system: str | None
) -> None:
    found = node("rack-1", {"nvidia.com/gpu.product": "Tesla-T4", "nvidia.com/gpu.count": "1"}, gpus=1)
    found["status"]["nodeInfo"]["osImage"] = image
    assert parsed(looked(catalogue, found))["sites"]["rack"]["nodes"]["rack-1"].get("os") == system


def test_a_gke_node_with_a_t4_is_known_by_googles_label(catalogue: Catalogue) -> None:
    text = looked(catalogue, node("gke-t4-1", {"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"}, gpus=1))
    assert parsed(text)["pools"] == {"t4": {"gpu": "t4", "site": "rack"}}


def test_mixed_cards_of_a_node_are_told_apart_by_nfd_alone(catalogue: Catalogue) -> None:
    labels = {
        "feature.node.kubernetes.io/pci-0302_10de_102d.present": "true",
        "feature.node.kubernetes.io/pci-0300_10de_13f2.present": "true",
    }
    text = looked(catalogue, node("box", labels))
    assert set(parsed(text)["pools"]) == {"k80", "m60"}
    assert "Kubernetes does not tell them apart" in text
    assert "the fleet brings NVIDIA's device plugin" in text


def test_nodes_without_labels_say_what_is_missing(catalogue: Catalogue) -> None:
    text = looked(catalogue, node("bare", {}, gpus=1), node("cpu", {}))
    assert parsed(text)["pools"] == {}
    assert "node feature discovery or GPU feature discovery would" in text
    assert "# cpu: no GPU" in text


def test_every_card_of_the_catalogue_is_known_by_its_ids(catalogue: Catalogue) -> None:
    for name, gpu in catalogue.gpus.items():
        for device in gpu.card.pci if gpu.card else ():
            assert by_pci(catalogue, device) in (name, "m40")
    assert by_product(catalogue, "NVIDIA-A100-SXM4-40GB") == "a100-40gb"
    assert by_product(catalogue, "Tesla V100-SXM2-16GB") == "v100"
    assert by_product(catalogue, "GeForce GTX 1080") == ""


def test_an_endpoint_lists_its_models(catalogue: Catalogue) -> None:
    answers = {"/api/version": {"version": "0.32.15"}, "/api/tags": {"models": [{"name": "qwen3:8b"}]}}
    place = endpoint.look("https://lab.example.org/", lambda url: answers[url.removeprefix("https://lab.example.org")])
    found = parsed(render(catalogue, place))
    assert found["sites"] == {"lab": {"endpoints": ["https://lab.example.org"]}}
    assert found["models"] == {"qwen3:8b": ["lab"]}


@pytest.mark.parametrize(
    ("url", "failure", "said"),
    [
        ("ftp://x", None, "not the address of a server"),
        ("https://user:secret@x.example", None, "not the address of a server"),
        ("https://x.example", urllib.error.URLError("connection refused"), "cannot be reached: connection refused"),
        ("https://x.example", urllib.error.HTTPError("", 401, "", {}, None), "401: it asks for a token"),  # type: ignore[arg-type]
        ("https://x.example", ValueError("no JSON"), "no Ollama"),
        ("https://x.example", RecursionError(), "no Ollama"),
        ("https://x.example", http.client.BadStatusLine("SSH-2.0"), "no Ollama"),
    ],
)
def test_an_endpoint_that_is_none_is_refused_in_words(url: str, failure: Exception | None, said: str) -> None:
    def ask(_: str) -> Any:
        if failure:
            raise failure

    with pytest.raises(ValueError, match=said) as refused:
        endpoint.look(url, ask)
    assert "secret" not in str(refused.value)


def test_what_a_server_says_of_itself_stays_a_word(catalogue: Catalogue) -> None:
    answers = {"/api/version": {"version": HOSTILE}, "/api/tags": {"models": [{"name": HOSTILE}]}}
    text = render(catalogue, endpoint.look("https://x.example.org", lambda url: answers[url.partition(".org")[2]]))
    found = parsed(text)
    assert set(found) == {"sites", "pools", "models"}
    assert list(found["models"].values()) == [["x"]]
    assert text.replace("\n", "").isprintable()


def test_what_a_machine_says_of_itself_stays_a_word(catalogue: Catalogue) -> None:
    cards = "0, GPU-1, 0x102D10DE, 470: {x, Tesla K80\n"
    place = machine.look(catalogue, rig(nvidia_smi=cards, **{"uname -n": HOSTILE.replace(".", "")}))
    text = render(catalogue, place)
    found = parsed(text)
    assert set(found) == {"sites", "pools"}
    assert found["pools"] == {"k80": {"gpu": "k80", "site": place.name}}
    assert text.replace("\n", "").isprintable()


def test_what_a_cluster_says_of_its_nodes_stays_a_word(catalogue: Catalogue) -> None:
    labels = {"nvidia.com/gpu.product": "Tesla-K80", "nvidia.com/cuda.driver-version.full": HOSTILE}
    place = cluster.look(catalogue, HOSTILE, json.dumps({"items": [node(HOSTILE, labels, gpus=1)]}), HOSTILE)
    text = render(catalogue, place)
    found = parsed(text)
    assert set(found) == {"sites", "pools"}
    site = found["sites"][place.name]
    assert (set(site), len(site["nodes"]), set(site["kubernetes"])) == (
        {"kubernetes", "url", "nodes"}, 1, {"context", "devicePlugin"}
    )  # fmt: skip
    assert found["pools"] == {"k80": {"gpu": "k80", "site": place.name}}
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize("count", ["1" * 12, "9" * 5000, "-3", "two"])
def test_a_number_of_gpus_that_no_node_has_is_refused(catalogue: Catalogue, count: str) -> None:
    entry = node("box", {})
    entry["status"]["capacity"] = {"nvidia.com/gpu": count}
    with pytest.raises(ValueError, match="number of GPUs"):
        looked(catalogue, entry)


def test_numbers_beyond_all_bounds_are_no_numbers(catalogue: Catalogue) -> None:
    long = "9" * 5000
    said = {"cat": f"MemTotal: {long} kB\n", "df": f"a b c d\n/dev/sda1 1 1 {long} 1% /\n", "nvidia_smi": f"{long},,,,"}
    found = parsed(render(catalogue, machine.look(catalogue, rig(**said))))
    assert found["sites"]["rig-1"]["nodes"] == {"rig-1": {"gpus": {}, "memory": "1Gi", "disk": "1Gi"}}


def test_a_server_that_redirects_takes_the_token_nowhere() -> None:
    asked: list[str] = []

    class Redirects(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(302)
            self.send_header("location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Redirects) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        with pytest.raises(ValueError, match="it answers 302"):
            endpoint.look(f"http://127.0.0.1:{server.server_port}", endpoint.asking("a-token"))
        server.shutdown()
    assert asked == ["/api/version"]


def test_the_command_reads_this_machine_and_says_what_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["discover"]) == 0
    assert "docker: {}" in capsys.readouterr().out
    assert main(["discover", "--endpoint", "nowhere"]) == 2
    assert main(["discover", "--docker=-oProxyCommand=x"]) == 2
    assert "Traceback" not in capsys.readouterr().err
