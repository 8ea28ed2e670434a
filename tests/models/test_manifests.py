"""What `fleet manifests` prints runs on a real Ollama: its scripts, its lists, its Modelfiles, its commands."""

import io
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from infra.__main__ import main
from tests.models.pod import Pod, wait_until
from tests.models.registry import Registry

TINY = "library/tiny:latest"


@pytest.fixture
def manifests(tmp_path: Path, registry: Registry, weights: bytes, capsys: pytest.CaptureFixture[str]) -> list[Any]:
    digest = registry.publish(TINY, weights)
    registry.publish("library/wide:latest", weights[:-4] + b"wide")
    (tmp_path / "Pulumi.dev.yaml").write_text(f"""config:
  gcp:project: example
  ollama-fleet:fleet:
    gke: {{location: us-central1-c}}
    pools:
      cpu: {{gpu: none, context: 512, registry: "http://127.0.0.1:{registry.port}"}}
    models:
      tiny: {{pools: [cpu], vram: 1Mi, disk: 1Mi, digest: {digest}}}
      wide: {{pools: [cpu], vram: 1Mi, disk: 1Mi, context: 384}}
      bot:
        pools: [cpu]
        modelfile: |
          FROM tiny
          SYSTEM "Be {{inputs.how}}, and leave {{these}} alone."
        inputs: {{how: brief}}
    aliases: {{gpt-4: bot}}
""")
    assert main(["manifests", "--cwd", str(tmp_path)]) == 0
    return list(YAML(typ="safe", pure=True).load_all(io.StringIO(capsys.readouterr().out)))


def test_what_the_program_mounts_pulls_makes_and_serves(pod: Pod, manifests: list[Any], registry: Registry) -> None:
    objects = {(one["kind"], one["metadata"]["name"]): one for one in manifests}
    shell = objects["ConfigMap", "ollama-prepare"]["data"]
    for name, text in shell.items():
        pod.script.with_name(name).write_text(text)
    pod.mount_data(objects["ConfigMap", "ollama-cpu-models"]["data"])
    pod.route(objects["ConfigMap", "ollama-routes"]["data"]["routes.toml"])
    spec = objects["Deployment", "ollama-cpu"]["spec"]["template"]["spec"]
    containers = {one["name"]: one for one in [*spec["initContainers"], *spec["containers"]]}

    def settings(name: str) -> dict[str, str]:
        """The container's own environment; what names a folder or an address is the test's."""
        own = {one["name"]: one["value"] for one in containers[name]["env"]}
        return {key: value for key, value in own.items() if not value.startswith("/") and key != "OLLAMA_HOST"}

    def mode(name: str) -> str:
        return str(containers[name]["command"][2])

    first = pod.init(**settings("prepare"))
    assert (first.code, first.message, mode("prepare")) == (0, "", "init"), first.output
    registry.forget_requests()
    second = pod.init(**settings("prepare"))
    assert (second.code, registry.requests, registry.bytes_sent) == (0, [], 0), second.output

    with (
        pod.serving(**settings("ollama")) as server,
        pod.running(mode("companion"), **settings("companion")) as companion,
    ):
        wait_until(lambda: "the list is in place, 0 new" in companion.output, 20, companion)
        probes = containers["ollama"]
        for probe in ("startupProbe", "readinessProbe"):
            asked = pod.probe(probes[probe]["exec"]["command"][2], **settings("ollama"))
            assert asked.code == 0, asked.output
        assert server.chat("gpt-4")["done"]
        assert server.ask("/api/show", {"model": "gpt-4"})["system"] == "Be brief, and leave {these} alone."
        assert server.chat("wide")["done"]
        assert server.loaded_context("wide:latest") == 384
        assert server.chat("tiny")["done"]
        # its weights are loaded under the name that asked first: its own, or one that is made from it
        assert 512 in {one["context_length"] for one in server.ask("/api/ps")["models"]}
        assert registry.requests == []
