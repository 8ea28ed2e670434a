"""The files for Envoy: what holds for every map, and that Envoy accepts them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from router import render
from router.clusters import BESIDE
from router.envoy import Setup
from router.facts import Facts, PoolFacts
from router.program import program
from router.reading import parse
from router.routing import canonical
from tests.router.maps import MAPS, PROPERTY

CONFIG_MAP_BYTES = 2**20
MEMORY_BYTES = 64 * 2**20
SHAPES = {
    "one model": '[routes]\nm = ["t4"]\n[pools]\nt4 = "a:1"\n',
    "a fallback": '[routes]\nm = ["t4", "k80"]\n[pools]\nt4 = "a:1"\nk80 = "b:1"\n',
    "an alias": '[routes]\nm = ["t4"]\nn = "m"\n[pools]\nt4 = "a:1"\n',
    "a split": '[routes]\nm = ["t4"]\nn = ["k80"]\no = {m = 1, n = 999}\n[pools]\nt4 = "a:1"\nk80 = "b:1"\n',
    "a site with TLS": '[routes]\nm = ["t4"]\n[pools]\nt4 = {url = "https://rig.example.ts.net", token = "rig"}\n',
    "several endpoints": '[routes]\nm = ["t4"]\n[pools]\nt4 = {urls = ["http://10.0.0.1:11434", "http://10.0.0.2"]}\n',
    "an idle pool": '[routes]\nm = ["t4"]\n[pools]\nt4 = "a:1"\nk80 = "b:1"\n',
}


FACTS = Facts(
    pools={
        pool: PoolFacts(missing=("/v1/responses",) if pool < "n" else (), spills_at=2 if pool[-1] < "n" else None)
        for pool in {*"abcdefghijklmnopqrstuvwxyz", "t4", "k80"}
    }
)
"""Of some pools: one hands requests on, one lacks a route."""


def rendered(text: str) -> dict[str, str]:
    return render(
        text,
        Setup(port=10000, admin_port=9901, beside_port=9903, spill_port=9904, directory="/run/envoy", memory=2**31),
        FACTS,
    )


def resources(text: str, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(rendered(text)[name])["resources"]
    return found


def large(models: int, pools: int) -> str:
    routes = [
        f'"some-family-{n}:{n}b-instruct-q4" = ["pool-{n % pools}", "pool-{(n * 7 + 1) % pools}"]'
        for n in range(models)
    ]
    addresses = [f'pool-{n} = "ollama-pool-{n}.ollama.svc.cluster.local:11434"' for n in range(pools)]
    return "\n".join(["[routes]", *routes, "[pools]", *addresses])


@given(MAPS)
@PROPERTY
def test_routes_lead_only_to_clusters_that_exist(text: str) -> None:
    clusters = {cluster["name"]: cluster for cluster in resources(text, "clusters.json")}
    for cluster in clusters.values():
        if "cluster_type" in cluster:
            members = cluster["cluster_type"]["typed_config"]["clusters"]
            assert set(members) <= set(clusters)
            assert {name.partition("~")[0] for name in members} <= set(parse(text).pools)
            assert len(members) > 1
            # at the last one requests wait
            assert "~" not in members[-1]
    assert set(_named_clusters(resources(text, "routes.json"))) <= set(clusters)


@given(MAPS)
@PROPERTY
def test_every_name_has_exactly_one_route(text: str) -> None:
    (routes,) = resources(text, "routes.json")
    plugin, *others = routes["cluster_specifier_plugins"]
    assert {one["extension"]["name"] for one in others} <= {"/v1/responses"}
    looked_up = plugin["extension"]["typed_config"]["cluster_matcher"]["matcher_tree"]["exact_match_map"]["map"]
    weighed = [
        route["match"]["headers"][0]["string_match"]["exact"]
        for route in routes["virtual_hosts"][0]["routes"]
        if "weighted_clusters" in route.get("route", {}) and route["match"].get("prefix") == "/"
    ]
    assert sorted([*looked_up, *weighed]) == sorted(map(canonical, parse(text).names))


@given(MAPS)
@PROPERTY
def test_the_same_map_gives_the_same_bytes_and_only_the_map_changes_them(text: str) -> None:
    files = rendered(text)
    assert files == rendered(text + "# a remark\n")
    assert files["bootstrap.json"] == rendered(SHAPES["one model"])["bootstrap.json"]
    assert sorted(files) == ["bootstrap.json", "clusters.json", "routes.json"]


@given(MAPS)
@PROPERTY
def test_an_answer_may_take_for_ever_but_not_be_silent_for_ever(text: str) -> None:
    (routes,) = resources(text, "routes.json")
    to_pools = [route for route in _each(routes, "route") if route.get("cluster") != BESIDE]
    assert {(route["timeout"], route["idle_timeout"]) for route in to_pools} == {("0s", "600s")}


def test_the_program_fits_into_a_config_map_with_room_to_grow() -> None:
    files = program()
    assert {"__main__.py", "__init__.py", "routes.py"} <= set(files)
    assert sum(map(len, files.values())) < CONFIG_MAP_BYTES / 4


def test_the_files_of_a_thousand_models_fit_many_times_into_the_pods_memory() -> None:
    assert sum(map(len, rendered(large(1000, 50)).values())) < MEMORY_BYTES / 16


def test_administration_is_on_loopback_only() -> None:
    admin = json.loads(rendered(SHAPES["one model"])["bootstrap.json"])["admin"]
    assert admin == {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 9901}}}


@pytest.mark.parametrize("text", [*SHAPES.values(), large(200, 20)], ids=[*SHAPES, "large"])
def test_envoy_accepts_every_shape_of_map(envoy: Path, tmp_path: Path, text: str) -> None:
    assert_accepted(envoy, tmp_path, text)


@given(MAPS)
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_envoy_accepts_generated_maps(envoy: Path, tmp_path: Path, text: str) -> None:
    assert_accepted(envoy, tmp_path, text)


def assert_accepted(envoy: Path, folder: Path, text: str) -> None:
    """Envoy's own check reads no file that the bootstrap only points to, so all of it goes into one."""
    files = {name: json.loads(content) for name, content in rendered(text).items()}
    whole = files["bootstrap.json"]
    del whole["dynamic_resources"]
    whole["static_resources"]["clusters"] += [_plain(cluster) for cluster in files["clusters.json"]["resources"]]
    (http,) = whole["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
    del http["typed_config"]["rds"]
    http["typed_config"]["route_config"] = _plain(files["routes.json"]["resources"][0])
    path = folder / "whole.json"
    path.write_text(json.dumps(whole))
    done = subprocess.run(
        [envoy, "--mode", "validate", "-l", "warning", "-c", path],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower(), done.stderr


def _plain(resource: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key != "@type"}


def _named_clusters(config: object) -> list[str]:
    by_model = [action["cluster"] for action in _each(config, "typed_config") if "cluster" in action]
    weighed = [share["name"] for shares in _each(config, "weighted_clusters") for share in shares["clusters"]]
    return by_model + weighed


def _each(config: object, key: str) -> list[dict[str, Any]]:
    """Every value under `key`, at any depth."""
    if isinstance(config, list):
        return [found for item in config for found in _each(item, key)]
    if not isinstance(config, dict):
        return []
    here = [config[key]] if key in config else []
    return here + [found for item in config.values() for found in _each(item, key)]
