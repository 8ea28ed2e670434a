"""The keys of the door: made or given, known to the owner alone, their digests where the router reads them."""

import hashlib
from typing import Any

from infra.recorder import Secret, reveal
from tests.program.rules.view import COMPONENT, Complaints, View, expect, rule

SECRET = "kubernetes:core/v1:Secret"
PASSWORD = "random:index/randomPassword:RandomPassword"


@rule
def every_key_is_an_output_and_the_cluster_has_its_digest_alone(view: View) -> Complaints:
    exported = view.recording.stack_outputs.get("apiKeys")
    digests = view.named(SECRET, "fleet-api-keys-digests")
    if view.cluster_plan is None or not view.plan.router.keys:
        if exported is not None or digests is not None:
            yield "there are keys that nobody needs"
        return
    if not isinstance(exported, Secret):
        yield "the keys are no secret output"
        return
    yield from expect(
        digests,
        {
            "metadata.name": "ollama-router-keys",
            "metadata.namespace": view.plan.namespace,
            "metadata.labels": {
                "app.kubernetes.io/name": "ollama-router",
                "app.kubernetes.io/managed-by": "ollama-fleet",
            },
        },
    )
    stored: Any = (digests.inputs.get("stringData") if digests else None) or {}
    values: Any = reveal(stored)
    if not (isinstance(stored, Secret) or (stored and all(isinstance(one, Secret) for one in stored.values()))):
        yield "the digests are no secret"
    if set(values) != set(view.plan.router.keys):
        yield f"there are digests of {sorted(values)}"
    keys: Any = reveal(exported)
    if (
        isinstance(keys, dict)
        and {name: hashlib.sha256(key.encode()).hexdigest() for name, key in keys.items()} != values
    ):
        yield "the digests are not those of the keys"


@rule
def a_key_that_is_made_cannot_be_guessed(view: View) -> Complaints:
    made = [one for one in view.all(PASSWORD) if not one.name.startswith("fleet-chat-")]
    for key in made:
        yield from expect(key, {"length": 43, "special": False})
    wanted = {f"fleet-api-keys-{name}" for name in view.plan.router.keys} if view.cluster_plan else set()
    if {one.name for one in made} != wanted:
        yield f"made are {[one.name for one in made]}"
    for component in view.all(COMPONENT + "ApiKeys"):
        if not isinstance((component.registered_outputs or {}).get("keys"), Secret):
            yield "its keys are no secret"
