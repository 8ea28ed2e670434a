"""Where a pool gets its models from, and where it keeps them."""

from typing import Any

import pytest

from infra.plan.model import Prepared
from tests.unit.conftest import Plan

DIGEST = "ab" * 32


def fleet(pool: dict[str, Any], models: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "gke": {"location": "us-central1-c"},
        "pools": {"t4": {"gpu": "t4", **pool}},
        "models": {name: {"pools": ["t4"], **value} for name, value in models.items()},
        **more,
    }


def prepared(plan_of: Plan, pool: dict[str, Any], models: dict[str, Any]) -> list[Prepared]:
    plan = plan_of(fleet(pool, models))
    assert not [one for one in plan.problems if one.severity == "error"], plan.problems
    return list(plan.pool("t4").prepared)


@pytest.mark.parametrize(
    ("registry", "name", "source"),
    [
        (None, "llama3.2:1b", "llama3.2:1b"),
        ("registry.lan:5000", "llama3.2:1b", "registry.lan:5000/library/llama3.2:1b"),
        ("registry.lan/mirror", "llama3.2:1b", "registry.lan/mirror/llama3.2:1b"),
        ("http://registry.lan:5000", "llama3.2:1b", "http://registry.lan:5000/library/llama3.2:1b"),
        ("https://registry.lan", "me/mine:q4", "registry.lan/me/mine:q4"),
        ("registry.lan", "hf.co/org/model:Q4_K_M", "hf.co/org/model:Q4_K_M"),
    ],
)
def test_a_registry_stands_before_the_models_of_its_pool(
    plan_of: Plan, registry: str | None, name: str, source: str
) -> None:
    pool = {"registry": registry} if registry else {}
    (one,) = prepared(plan_of, pool, {name: {"vram": "1Gi", "disk": "1Gi"}})
    assert (one.name, one.action, one.source) == (name, "pull", source)


def test_a_model_may_name_its_own_registry_or_itself_in_full(plan_of: Plan) -> None:
    models = {"llama3.2:1b": {"registry": "other.lan"}, "llama3.2:3b": {"registry": "http://other.lan/a/b:c"}}
    sources = [one.source for one in prepared(plan_of, {"registry": "registry.lan"}, models)]
    assert sources == ["other.lan/library/llama3.2:1b", "http://other.lan/a/b:c"]


def test_what_a_modelfile_is_made_from_comes_from_the_pools_registry_too(plan_of: Plan) -> None:
    steps = prepared(plan_of, {"registry": "registry.lan"}, {"bot": {"modelfile": "FROM llama3.2:1b"}})
    assert [(one.action, one.name) for one in steps] == [("pull", "llama3.2:1b"), ("create", "bot")]
    assert steps[0].source == "registry.lan/library/llama3.2:1b"


def test_without_a_registry_what_is_on_the_volume_is_only_verified(plan_of: Plan) -> None:
    pool = {"registry": "none", "storage": "volume"}
    assert prepared(plan_of, pool, {"llama3.2:1b": {"digest": DIGEST}}) == [
        Prepared(name="llama3.2:1b", action="verify", digest=DIGEST)
    ]


def test_a_file_on_the_volume_is_pinned_by_its_own_digest(plan_of: Plan) -> None:
    model = {"modelfile": "FROM ./mine.gguf", "vram": "2Gi", "disk": "1Gi", "digest": DIGEST}
    (one,) = prepared(plan_of, {"storage": "volume"}, {"mine": model})
    assert (one.action, one.source, one.digest) == ("create", "FROM ./mine.gguf\n", DIGEST)


@pytest.mark.parametrize("base", ["https://models.example.org/a/mine.gguf?x=1", "./mine.gguf"])
def test_weights_from_outside_of_any_registry_are_pinned_by_their_digest(plan_of: Plan, base: str) -> None:
    model = {"modelfile": f"FROM {base}", "vram": "2Gi", "disk": "1Gi", "digest": DIGEST}
    models = {"mine": model, "bot": {"modelfile": "FROM mine\nSYSTEM Hi"}}
    pool = {} if base.startswith("https") else {"storage": "volume"}
    assert prepared(plan_of, pool, models)[0] == Prepared(
        name="mine", action="create", source=f"FROM {base}\n", digest=DIGEST
    )
    assert all(model.pinned for model in plan_of(fleet(pool, models)).models)


def test_a_volume_holds_the_models_twice_and_is_paid_for_while_the_node_disk_is_not_filled(plan_of: Plan) -> None:
    models = {"llama3.3:70b": {}}
    gpu = {"gpu": "a100-80gb", "context": 4096}
    kept = plan_of(fleet({**gpu, "storage": "volume"}, models))
    lost = plan_of(fleet(gpu, models))
    volume, node = kept.pool("t4"), lost.pool("t4")
    assert 2 * 42 * 10**9 <= volume.volume <= 100 * 10**9
    assert node.volume == 0
    assert volume.nodes and node.nodes and volume.nodes.disk_gb < node.nodes.disk_gb
    assert kept.cost
    assert "t4 volume" in {line.title for line in kept.cost.lines}


def test_a_proxy_reaches_whoever_pulls(plan_of: Plan) -> None:
    ca = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    proxy = {"https": "http://proxy:3128", "no": ["a.lan", "b.lan"], "ca": ca}
    plan = plan_of(fleet({}, {"llama3.2:1b": {}}, proxy=proxy))
    wanted = {
        "HTTPS_PROXY": "http://proxy:3128",
        "NO_PROXY": "a.lan,b.lan",
        "SSL_CERT_DIR": "/etc/ollama-fleet/prepare",
    }
    pool = plan.pool("t4")
    assert pool.pull_environment == wanted
    assert wanted.items() <= pool.environment.items()
    assert plan.certificates == ca


@pytest.mark.parametrize(
    ("pool", "options", "proof"),
    [
        ({}, "refuse", "always"),
        ({}, "pass", "start"),
        ({"verifyGpu": False}, "refuse", "none"),
        ({"gpu": "none"}, "refuse", "none"),
    ],
)
def test_the_gpu_is_proven_unless_there_is_none_or_the_file_says_so(
    plan_of: Plan, pool: dict[str, Any], options: str, proof: str
) -> None:
    plan = plan_of(fleet(pool, {"llama3.2:1b": {}}, router={"clientOptions": options}))
    assert plan.pool("t4").gpu_proof == proof


@pytest.mark.parametrize(
    ("gpu", "image", "floor"),
    [
        ("t4", "ollama/ollama:0.32.15", (550, "0.30.11")),
        ("p4", "ollama/ollama:0.32.15", (570, "0.30.0")),
        ("t4", "ollama/ollama:0.24.0", (531, "0.9.3")),
        ("t4", "ollama/ollama:0.9.2", None),
        ("t4", "ghcr.io/somebody/ollama:1", None),
    ],
)
def test_the_proof_knows_the_least_driver_of_card_and_image(
    plan_of: Plan, gpu: str, image: str, floor: tuple[int, str] | None
) -> None:
    plan = plan_of(fleet({"gpu": gpu, "image": image}, {"llama3.2:1b": {}}))
    assert plan.pool("t4").runtime.driver_floor == floor


def test_every_pool_knows_how_the_models_of_the_others_are_made(plan_of: Plan) -> None:
    plan = plan_of(
        {
            "gke": {"location": "us-central1-c"},
            "pools": {"t4": {"gpu": "t4"}, "l4": {"gpu": "l4", "context": 4096}},
            "models": {
                "llama3.2:1b": ["t4"],
                "bot": {"pools": ["t4"], "modelfile": "FROM llama3.2:1b"},
                "llama3.2:3b": ["l4"],
            },
        }
    )
    elsewhere = plan.pool("l4").elsewhere
    assert set(elsewhere) == {"llama3.2:1b", "bot"}
    steps = [(one.action, one.name) for one in elsewhere["bot"]]
    assert steps == [("pull", "llama3.2:1b"), ("create", "llama3.2:1b"), ("create", "bot")]
    assert elsewhere["bot"][-1].source == "FROM llama3.2:1b\nPARAMETER num_ctx 8192\n"


def test_a_replica_has_time_to_come_and_to_leave(plan_of: Plan) -> None:
    pool = plan_of(
        fleet(
            {"pullDeadline": "2h", "drainLimit": "5m", "startupThreshold": 200}, {"m": {"vram": "1Gi", "disk": "1Gi"}}
        )
    ).pool("t4")
    assert pool.grace_period >= pool.drain_limit + 15
    assert pool.rollout_deadline >= pool.pull_deadline + 200 * pool.startup_period + 600
    assert pool.prepare_memory_limit > pool.prepare_memory
    assert pool.companion_memory_limit > pool.companion_memory
