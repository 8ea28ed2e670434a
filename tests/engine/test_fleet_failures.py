"""The project's program on the real engine: what fails half-way, what is refused, and what a destroy leaves."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra import stack as stacks
from tests.engine.fleets import CLUSTER, NODE_POOL, ROOT, UNPROTECTED, Edit, Fleet, dev, dev_up, example, exists
from tests.engine.harness import Engine, UpdateError

STOCKOUT = 'NodePool ollama-t4 was created in the error state "RUNNING_WITH_ERROR": ZONE_RESOURCE_POOL_EXHAUSTED'


@pytest.fixture
def engine(engine: Engine) -> Engine:
    """Here the state is written as it is for a person: after each step."""
    return replace(engine, checkpoints=True)


# Half-way


def test_creates_that_fail_one_after_the_other_are_resumed_without_doubles_or_leftovers(engine: Engine) -> None:
    fleet = dev(engine)
    # each waits for the one before it, so that none is made beside a failure
    for double, name, message, after in [
        (fleet.google, "fleet-network", "Compute Engine API has not been used in project example-project", False),
        (fleet.google, "fleet-cluster", "Error waiting for creating GKE cluster: internal error", False),
        (fleet.google, "fleet-cluster", 'Cluster was created in the error state "ERROR"', True),
        (fleet.google, "t4-pool-nodes", STOCKOUT, True),
        (fleet.kubernetes, "t4-server-deployment", "0 out of 1 replicas are ready", True),
    ]:
        double.fail("create", name, message=message, after=after)
        with pytest.raises(UpdateError) as refused:
            fleet.up()
        assert message in str(refused.value)
        assert "Traceback" not in str(refused.value)
    # what exists but did not become ready is brought to its state, not made again
    assert fleet.up().ops("update") == ["t4-server-deployment"]
    assert fleet.up().changes == {}
    assert_made_once(fleet)


def assert_made_once(fleet: Fleet) -> None:
    """Every object in both clouds, and every key, is in the state, was made once, and nothing else was ever made."""
    state = sorted(one.id for one in fleet.stack.state() if one.id)
    doubles = [fleet.google, fleet.kubernetes, *fleet.stack.others.values()]
    assert state == sorted(one for double in doubles for one in double.ids())
    made = [one.id for double in doubles for one in double.operations("create") if not one.failed]
    assert sorted(made) == state
    assert not [one for double in doubles for one in double.operations("delete")]


def test_a_pool_that_finds_no_machines_when_it_is_replaced_comes_with_the_next_up(engine: Engine) -> None:
    fleet = dev_up(engine)
    objects = fleet.objects
    spot: Edit = {"pools": {"t4": {"spot": True}}}
    fleet.google.fail("create", "t4-pool-nodes", message="ZONE_RESOURCE_POOL_EXHAUSTED")
    with pytest.raises(UpdateError, match="ZONE_RESOURCE_POOL_EXHAUSTED"):
        fleet.up(spot)
    # the old one had to go first, since the name is fixed
    assert not [one for one in fleet.google.ids(NODE_POOL) if one.endswith("/ollama-t4")]
    assert fleet.objects == objects
    fleet.up(spot)
    assert [one for one in fleet.google.ids(NODE_POOL) if one.endswith("/ollama-t4")]
    assert fleet.objects == objects
    assert fleet.up(spot).changes == {}


def test_an_update_that_fails_half_way_is_completed_by_the_next_one(engine: Engine) -> None:
    fleet = dev_up(engine)
    edit: Edit = {"models": {"qwen3:0.6b": ["t4"]}, "pools": {"a100": {"disk": "300Gi"}}}
    fleet.google.fail("update", "a100-pool-nodes", message="ZONE_RESOURCE_POOL_EXHAUSTED")
    with pytest.raises(UpdateError, match="ZONE_RESOURCE_POOL_EXHAUSTED"):
        fleet.up(edit)
    assert "a100-pool-nodes" in fleet.up(edit).ops("update")
    assert "qwen3:0.6b" in json.dumps(fleet.object("ConfigMap", "ollama/ollama-t4-models")["data"])
    assert fleet.up(edit).changes == {}


# Down


def test_a_protected_fleet_refuses_its_destroy_before_anything_is_touched(engine: Engine) -> None:
    fleet = dev_up(engine)
    done, state = fleet.operations, fleet.stack.state()
    refused = fleet.stack.command("destroy", "--yes")
    assert refused.returncode != 0
    assert "fleet-cluster" in refused.stdout + refused.stderr
    assert "protected" in refused.stdout + refused.stderr
    assert fleet.operations == done
    assert fleet.stack.state() == state
    # what replaces the cluster destroys it too
    with pytest.raises(UpdateError, match=r"unable to replace resource .*fleet-cluster"):
        fleet.preview({"gke": {"location": "us-central1-a"}})
    assert fleet.up().changes == {}
    assert fleet.up(UNPROTECTED).changes == {"update": ["fleet-cluster"]}
    destroyed = fleet.stack.command("destroy", "--yes")
    assert destroyed.returncode == 0, destroyed.stdout
    assert fleet.stack.state() == []
    assert fleet.google.ids() == fleet.objects == []


def test_a_destroy_needs_no_answer_from_the_cluster_that_it_takes_down(engine: Engine) -> None:
    fleet = dev_up(engine, UNPROTECTED)
    fleet.kubernetes.fail("delete", message="connect: connection refused", times=99)
    fleet.destroy()
    assert not fleet.kubernetes.operations("delete")
    assert fleet.stack.state() == []
    assert fleet.google.ids() == fleet.objects == []


def test_a_destroy_that_google_cuts_short_is_completed_by_the_next_one(engine: Engine) -> None:
    fleet = dev_up(engine, UNPROTECTED)
    fleet.google.fail("delete", "fleet-cluster", message="Cluster is running incompatible operation")
    with pytest.raises(UpdateError, match="incompatible operation"):
        fleet.destroy()
    assert fleet.google.ids(CLUSTER)
    fleet.destroy()
    assert fleet.stack.state() == []
    assert fleet.google.ids() == fleet.objects == []


def test_pools_leave_an_existing_cluster_once_it_answers(engine: Engine) -> None:
    fleet = example(engine, "existing-cluster")
    before = fleet.google.ids()
    fleet.up()
    fleet.kubernetes.fail("delete", "l4-server-deployment", message="connect: connection refused")
    with pytest.raises(UpdateError, match="connection refused"):
        fleet.destroy()
    assert "Deployment ml-ollama/ollama-l4" in fleet.objects
    fleet.destroy()
    assert fleet.stack.state() == []
    assert fleet.objects == []
    assert fleet.google.ids() == before


# Refused


def test_a_broken_file_fails_with_every_error_and_makes_nothing(engine: Engine) -> None:
    fleet = dev(engine)
    broken: Edit = {"pools": {"t4": {"gpu": "t5"}, "a100": {"machineType": "huge"}}, "modles": {}}
    for run in (fleet.preview, fleet.up):
        with pytest.raises(UpdateError) as refused:
            run(broken)
        message = str(refused.value)
        assert "3 error(s)" in message
        for place in ("fleet.pools.t4.gpu", "fleet.pools.a100.machineType", "fleet.modles"):
            assert place in message
        assert "did you mean t4?" in message
        assert "Traceback" not in message
        assert refused.value.steps == []
    assert fleet.operations == 0
    assert fleet.stack.state() == []


def test_a_file_that_breaks_later_leaves_what_is_there(engine: Engine) -> None:
    fleet = dev_up(engine)
    done, there = fleet.operations, [one.urn for one in fleet.stack.state()]
    with pytest.raises(UpdateError, match="its models do not fit the T4"):
        fleet.up({"models": {"llama3.1:70b": ["t4"]}})
    assert fleet.operations == done
    assert [one.urn for one in fleet.stack.state()] == there
    assert fleet.up().changes == {}


def test_a_secret_inside_the_fleet_object_is_refused_and_never_shown(engine: Engine) -> None:
    fleet = dev(engine)
    set_it = fleet.stack.command("config", "set", "--secret", "--path", f"{stacks.KEY}.router.keys.everyone", "hunter2")
    assert set_it.returncode == 0, set_it.stderr
    for run in (fleet.stack.preview, fleet.stack.up):
        with pytest.raises(UpdateError) as refused:
            run()
        assert "the fleet object is a secret, or holds one" in str(refused.value)
        assert "keys of their own" in str(refused.value)
        assert "hunter2" not in str(refused.value)
        assert "Traceback" not in str(refused.value)
    assert fleet.operations == 0


def test_a_stack_without_a_fleet_is_told_how_to_get_one(engine: Engine) -> None:
    fleet = dev(engine)
    assert fleet.stack.command("config", "rm", stacks.KEY).returncode == 0
    with pytest.raises(UpdateError, match=r"copy Pulumi\.dev\.yaml"):
        fleet.stack.preview()


def test_an_existing_cluster_without_a_dns_endpoint_is_refused_with_the_remedy(engine: Engine) -> None:
    fleet = example(engine, "existing-cluster")
    exists(fleet, "shared-prod", "europe-west4", dns=False)
    with pytest.raises(UpdateError) as refused:
        fleet.preview()
    assert "--enable-dns-access" in str(refused.value)
    assert "Traceback" not in str(refused.value)


def test_an_existing_cluster_that_does_not_exist_fails_the_preview(engine: Engine) -> None:
    fleet = example(engine, "existing-cluster")
    fleet.google.existing.clear()
    with pytest.raises(UpdateError, match=r"clusters/shared-prod' does not exist"):
        fleet.preview()
    assert fleet.operations == 0


# The project's own file


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the project's file and its stack, as in a checkout."""
    for name in ("Pulumi.yaml", "Pulumi.dev.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "state").mkdir()
    return tmp_path


def test_pulumi_reads_the_project_without_a_warning_and_the_fleet_as_the_tool_does(
    pulumi_cli: Path, project: Path
) -> None:
    described = stacks.load_yaml(project / "Pulumi.yaml")["config"][stacks.KEY]
    assert "make plan" in described["description"]
    environment = {
        **os.environ,
        "PULUMI_BACKEND_URL": f"file://{project / 'state'}",
        "PULUMI_HOME": str(project / "home"),
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }

    def pulumi(*arguments: str) -> str:
        run = subprocess.run(
            [pulumi_cli / "bin" / "pulumi", *arguments, "--non-interactive"],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "warning" not in (run.stdout + run.stderr).lower()
        assert run.stderr.replace("Created stack 'dev'", "").strip() == ""
        return run.stdout

    pulumi("stack", "init", "dev")
    assert "fleet" in pulumi("config", "--stack", "dev")
    config: dict[str, Any] = json.loads(pulumi("config", "--stack", "dev", "--json"))
    assert config[stacks.KEY]["objectValue"] == stacks.read(ROOT, "dev").fleet
    assert config["pulumi:disable-default-providers"]["objectValue"] == ["kubernetes"]
    assert not any(entry["secret"] for entry in config.values())
