"""Monitoring, chat and load test through the real engine: they come, stay as they are, and go alone."""

from tests.engine.fleets import dev_up
from tests.engine.harness import Engine

BESIDE = {"monitoring": "managed", "chat": True, "loadTest": {}}
OURS = ("fleet-chat", "fleet-load-test", "fleet-monitoring", "fleet-api-keys", "fleet-router-routes")


def test_what_stands_beside_the_router_comes_stays_and_goes_alone(engine: Engine) -> None:
    fleet = dev_up(engine)
    before = fleet.objects
    came = fleet.up(BESIDE)
    assert set(came.changes) == {"create", "update"}
    assert all(step.op == "same" or step.name.startswith(OURS) for step in came)
    assert {
        "CronJob ollama/ollama-loadtest",
        "Deployment ollama/ollama-chat",
        "PodMonitoring ollama/ollama-fleet",
        "Rules ollama/ollama-fleet",
    } <= set(fleet.objects)
    assert set(fleet.stack.outputs()["apiKeys"]) == {"chat", "everyone", "loadtest"}
    assert set(fleet.stack.outputs()["chat"]) == {"url", "email", "password"}
    assert fleet.up(BESIDE).changes == {}
    went = fleet.up()
    assert all(step.op == "same" or step.name.startswith(OURS) for step in went)
    assert fleet.objects == before
