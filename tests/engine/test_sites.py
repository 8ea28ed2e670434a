"""A Kubernetes site that `up` applies to, on the real engine: it comes, changes and goes, and holds up nothing else
while it is off."""

import json
from pathlib import Path

import pytest

from infra import stack as stacks
from tests.engine.doubles import plain
from tests.engine.fleets import UNPROTECTED, Edit, Fleet
from tests.engine.harness import Engine, UpdateError
from tests.program.programs import ALONE, RACK

SITE = "rack/rack"
"""Its cluster, as its provider's `clusterIdentifier` has it."""
EVERYWHERE: Edit = {"models": {"qwen3:0.6b": ["k80", "t4"]}}
"""A model that both the site and GKE get to know."""
AT_SITE = ["cpu-server-models", "k80-server-models", "rack-site-router-routes"]
ON_GKE = ["fleet-router-routes", "t4-server-models"]


def of(engine: Engine, fleet: Edit, *, applied: bool = False) -> Fleet:
    file = stacks.Stack(name="rack", path=Path(), fleet=fleet, settings={"gcp:project": "example-project"})
    return Fleet(engine, file, () if applied else None)


def at_site(fleet: Fleet) -> list[str]:
    """`Kind namespace/name` of all that stands at the site."""
    return sorted(
        f"{one.type.rpartition(':')[2]} {one.id}" for one in fleet.kubernetes.existing.values() if one.scope == SITE
    )


def models_of(fleet: Fleet, pool: str) -> str:
    return json.dumps(plain(fleet.kubernetes.find(f"ollama/ollama-{pool}-models", "*:ConfigMap").outputs))


def test_a_site_comes_up_beside_gke_follows_the_file_and_goes_with_the_fleet(engine: Engine) -> None:
    fleet = of(engine, RACK)
    assert fleet.preview().ops("create")
    assert fleet.operations == 0
    fleet.up()
    there = at_site(fleet)
    assert {"NodePatch rack-1", "Deployment ollama/ollama-k80", "Deployment ollama/ollama-router"} <= set(there)
    assert not [one for one in fleet.objects if "k80" in one]
    assert fleet.up().changes == {}
    # a site is a pool's place: its objects change in place, and those of GKE with them where the file says so
    assert fleet.up(EVERYWHERE).changes == {"update": sorted([*AT_SITE, *ON_GKE])}
    assert "qwen3:0.6b" in models_of(fleet, "k80")
    assert at_site(fleet) == there
    # by hand from now on: what `up` made there goes, with the token that it had made for its door, and GKE stays
    gke = set(fleet.objects)
    by_hand: Edit = {"sites": {"rack": {"kubernetes": {"apply": "manual"}}}}
    assert set(fleet.up(by_hand).changes) <= {"delete", "update"}
    assert at_site(fleet) == []
    assert gke - set(fleet.objects) == {"Secret ollama/ollama-router-tokens"}
    fleet.up(UNPROTECTED)
    assert at_site(fleet) == there
    fleet.destroy()
    assert fleet.stack.state() == []
    assert at_site(fleet) == fleet.objects == fleet.google.ids() == []


def test_a_site_that_is_off_holds_up_neither_a_preview_nor_an_up_and_catches_up_when_it_is_back(
    engine: Engine,
) -> None:
    fleet = of(engine, RACK, applied=True)
    before = models_of(fleet, "k80")
    fleet.kubernetes.unreachable.add(SITE)
    assert fleet.preview().changes == {}
    assert fleet.preview(EVERYWHERE).changes == {"update": ON_GKE}
    assert fleet.up(EVERYWHERE).changes == {"update": ON_GKE}
    assert models_of(fleet, "k80") == before
    assert fleet.up(EVERYWHERE, refresh=True).ops("update") == []
    fleet.kubernetes.unreachable.clear()
    assert fleet.up(EVERYWHERE).changes == {"update": AT_SITE}
    assert "qwen3:0.6b" in models_of(fleet, "k80")
    assert fleet.up(EVERYWHERE).changes == {}


def test_what_is_new_at_a_site_that_is_off_is_refused_with_the_cause_and_comes_when_it_is_back(engine: Engine) -> None:
    fleet = of(engine, RACK)
    fleet.kubernetes.unreachable.add(SITE)
    assert fleet.preview().ops("create")
    with pytest.raises(UpdateError, match="cluster is unreachable") as refused:
        fleet.up()
    assert "Traceback" not in str(refused.value)
    assert at_site(fleet) == []
    fleet.kubernetes.unreachable.clear()
    fleet.up()
    assert "Deployment ollama/ollama-k80" in at_site(fleet)
    assert "Deployment ollama/ollama-t4" in fleet.objects
    assert fleet.up().changes == {}


def test_a_destroy_keeps_what_it_cannot_reach_in_the_state_until_the_site_is_back(engine: Engine) -> None:
    fleet = of(engine, ALONE, applied=True)
    there = at_site(fleet)
    fleet.kubernetes.unreachable.add(SITE)
    with pytest.raises(UpdateError, match="cluster is unreachable"):
        fleet.destroy()
    assert at_site(fleet) == there
    fleet.kubernetes.unreachable.clear()
    fleet.destroy()
    assert fleet.stack.state() == []
    assert at_site(fleet) == []


def test_a_fleet_at_a_site_alone_asks_google_for_nothing(engine: Engine) -> None:
    fleet = of(engine, ALONE, applied=True)
    assert "Deployment ollama/ollama-router" in at_site(fleet)
    assert fleet.up().changes == {}
    assert fleet.google.log == []
