"""The project's own program on the engine: stack files, edits of them, and what is left in the clouds.

fleet = dev(Engine(...))               # the stack of Pulumi.dev.yaml, nothing in it yet
fleet.up()                             # or both at once: dev_up(Engine(...)), which copies an up of an earlier test
steps = fleet.preview({"pools": {"t4": {"spot": True}}})   # the file with this edit
"""

import copy
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from components.program import main
from infra import stack as stacks
from tests.engine.doubles import plain
from tests.engine.harness import Engine, Stack, Steps

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

CLUSTER = "gcp:container/cluster:Cluster"
NODE_POOL = "gcp:container/nodePool:NodePool"

Edit = Mapping[str, Any]
"""A JSON merge patch (RFC 7386) of the fleet object: mappings merge, None takes a key out, all else replaces."""

UNPROTECTED: Edit = {"gke": {"deletionProtection": False}}


class Fleet:
    """A stack of the project's program, with the file that it starts from.

    `up` and `preview` take edits of that file; they do not add up, each starts from the file again. With `applied` the
    fleet is up from the start, by the file with those edits.
    """

    def __init__(self, engine: Engine, file: stacks.Stack, applied: tuple[Edit, ...] | None = None) -> None:
        self.file = file
        make = engine if applied is None else engine.applied
        self.stack: Stack = make(
            main,
            config={
                # as in Pulumi.yaml, of which an inline program knows nothing
                "pulumi:disable-default-providers": ["kubernetes"],
                **file.settings,
                stacks.KEY: self._edited(applied or ()),
            },
        )
        self.google, self.kubernetes = self.stack.google, self.stack.kubernetes

    def preview(self, *edits: Edit) -> Steps:
        """What the file with these edits would do."""
        self._edit(edits)
        return self.stack.preview()

    def up(self, *edits: Edit, refresh: bool = False) -> Steps:
        """Apply the file with these edits."""
        self._edit(edits)
        return self.stack.up(refresh=refresh)

    def destroy(self) -> Steps:
        """Take down what is there, by the config of the last `up`."""
        return self.stack.destroy()

    def configure(self, fleet: Any) -> None:
        """Another fleet object altogether, in the order in which it is given."""
        self.stack.configure({stacks.KEY: fleet})

    @property
    def operations(self) -> int:
        """How many creates, updates and deletes both clouds have seen."""
        return sum(one.verb != "read" for one in [*self.google.log, *self.kubernetes.log])

    @property
    def objects(self) -> list[str]:
        """`Kind namespace/name` of all that is in clusters that still exist, sorted."""
        clusters = {"/".join(one.split("/")[1::2]) for one in self.google.ids(CLUSTER)}
        return sorted(
            f"{one.type.rpartition(':')[2]} {one.id}"
            for one in self.kubernetes.existing.values()
            if one.scope in clusters
        )

    def object(self, kind: str, name: str) -> dict[str, Any]:
        """A Kubernetes object as the cluster holds it, by kind and `namespace/name`."""
        held: dict[str, Any] = plain(self.kubernetes.find(name, f"*:{kind}").outputs)
        return held

    def _edit(self, edits: tuple[Edit, ...]) -> None:
        self.configure(self._edited(edits))

    def _edited(self, edits: tuple[Edit, ...]) -> Any:
        return reduce(merged, edits, self.file.fleet)


def dev(engine: Engine) -> Fleet:
    """The stack of this repository."""
    return Fleet(engine, stacks.read(ROOT, "dev"))


def dev_up(engine: Engine, *edits: Edit) -> Fleet:
    """The same, up, by its file with these edits."""
    return Fleet(engine, stacks.read(ROOT, "dev"), edits)


def example(engine: Engine, name: str) -> Fleet:
    """A stack of examples/; an existing cluster that it names exists."""
    fleet = Fleet(engine, stacks.read(EXAMPLES, name))
    gke = fleet.file.fleet.get("gke", {})
    if "cluster" in gke:
        exists(fleet, gke["cluster"], gke["location"])
    return fleet


def exists(fleet: Fleet, name: str, location: str, *, dns: bool = True) -> str:
    """Declare a cluster that others made; returns its id."""
    id = f"projects/example-project/locations/{location}/clusters/{name}"  # noqa: A001 Google's word
    endpoints = {"dnsEndpointConfig": {"endpoint": f"gke-{name}.{location}.gke.goog"}} if dns else {}
    fleet.google.present(
        CLUSTER,
        id,
        {
            "name": name,
            "location": location,
            "project": "example-project",
            "controlPlaneEndpointsConfig": endpoints,
            "deletionProtection": True,
        },
    )
    return id


def merged(value: Any, edit: Any) -> Any:
    """The value with a merge patch applied."""
    if not isinstance(edit, Mapping):
        return copy.deepcopy(edit)
    base = value if isinstance(value, Mapping) else {}
    laid = {key: merged(base.get(key), item) for key, item in edit.items() if item is not None}
    return {**{key: item for key, item in base.items() if key not in edit}, **laid}


def both(one: Edit, other: Edit) -> dict[str, Any]:
    """Two merge patches as one."""
    together = dict(one)
    for key, value in other.items():
        before = together.get(key)
        together[key] = both(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return together


def reordered(value: Any) -> Any:
    """The same with the keys of every mapping in reverse."""
    if isinstance(value, Mapping):
        return {key: reordered(value[key]) for key in reversed(value)}
    return value
