"""The `kube`, `fleet` and `grown` fixtures; without the tools their tests are skipped by name."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import tools
from tests.cluster import keda
from tests.cluster.control_plane import CONTROL_PLANE, NODES, control_plane, fake_nodes
from tests.cluster.fleet import Fleet, installed, on_gke
from tests.cluster.kube import Kube
from tests.engine.conftest import pulumi_cli  # noqa: F401 - a fixture

GIVEN = "OLLAMA_FLEET_KUBECONFIG"
"""The kubeconfig to use in place of a control plane of our own. Not KUBECONFIG itself, which may be anybody's: only
`make test-cluster` hands that on."""
STACKS = on_gke()
SCALED_OBJECT = "keda-scaled-object"


@pytest.fixture(scope="session")
def programs() -> dict[str, Path]:
    """Name -> path of the programs that this run needs."""
    names = (NODES,) if os.environ.get(GIVEN) else (*CONTROL_PLANE, NODES)
    found = {name: tools.find(name) for name in names}
    definition = tools.find_file(SCALED_OBJECT)
    missing = ", ".join(name for name, path in {**found, SCALED_OBJECT: definition}.items() if path is None)
    if missing:
        remedy = f"cluster tier left out: no {missing}; `make tools` brings what is missing"
        if os.environ.get("OLLAMA_FLEET_REQUIRE_TIERS") == "1":
            pytest.fail(remedy, pytrace=False)
        pytest.skip(remedy)
    return {name: path for name, path in found.items() if path}


@pytest.fixture(scope="session")
def kube(programs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    """An API server, with KWOK beside it: the given one, else our own without any node."""
    folder = tmp_path_factory.mktemp("cluster")
    definition = tools.find_file(SCALED_OBJECT)
    assert definition, "programs has looked for it"
    with ExitStack() as stack:
        if given := os.environ.get(GIVEN):
            api = Kube(Path(given), folder)
        else:
            api, _ = stack.enter_context(control_plane(folder, programs))
        stack.enter_context(fake_nodes(folder, programs, api))
        stack.enter_context(keda.defined(api, definition))
        yield api


@pytest.fixture(scope="session", params=STACKS)
def fleet(request: pytest.FixtureRequest, kube: Kube) -> Iterator[Fleet]:
    """Each stack in turn, applied, its nodes there."""
    with installed(kube, request.param, STACKS[request.param]) as one:
        yield one


@pytest.fixture
def grown(fleet: Fleet) -> Fleet:
    """Each stack in turn, every pool at its most replicas, whatever other tests left it at."""
    for pool in fleet.pools:
        fleet.kube.scale(fleet.deployment(pool), pool.replicas.max)
    fleet.settle()
    return fleet
