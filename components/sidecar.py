"""An Ollama in the pod of somebody else's application, which then talks to http://localhost:11434."""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_kubernetes.core.v1 import (
    CapabilitiesArgs,
    ConfigMap,
    ConfigMapVolumeSourceArgs,
    ContainerArgs,
    EmptyDirVolumeSourceArgs,
    EnvVarArgs,
    ExecActionArgs,
    PodSpecArgs,
    ProbeArgs,
    ResourceRequirementsArgs,
    SeccompProfileArgs,
    SecurityContextArgs,
    TolerationArgs,
    VolumeArgs,
    VolumeMountArgs,
)
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components import labels
from components.restricted import USER
from infra.names import fingerprint
from infra.plan import containers
from infra.plan.model import OLLAMA_PORT
from infra.plan.pools import STARTUP_PERIOD
from infra.plan.sidecar import default_image, prepared
from prepare.definitions import command, definitions, scripts

SHARED = "/shared"
INPUTS = f"{SHARED}/inputs.json"
RESERVED = frozenset({"HOME", "OLLAMA_HOST", "OLLAMA_MODELS"})


@dataclass(frozen=True, kw_only=True)
class SidecarModel:
    """The model: pulled by its name, or made under it from a Modelfile; what its preparation may take."""

    name: str
    mem: str = "500Mi"
    cpu: str = "1"
    modelfile: str | None = None
    digest: str | None = None
    """The manifest's sha256; refused where the registry has another."""


@dataclass(frozen=True, kw_only=True)
class SidecarServer:
    """The Ollama server beside the application."""

    image: str = field(default_factory=default_image)
    port: int = OLLAMA_PORT
    cpu: str = "1"
    gpu: int = 1
    """0 runs it on the CPU; else the startup probe wants the model wholly on the GPU."""
    mem: str = "15Gi"
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SidecarInputs:
    """A container that runs before the model is made and writes /shared/inputs.json.

    The texts, numbers and booleans of that JSON object fill `{inputs.NAME}` in the Modelfile.
    """

    image: str
    command: Sequence[pulumi.Input[str]]
    mem: str = "500Mi"
    cpu: str = "2"
    env: Sequence[EnvVarArgs] = ()
    volume_mounts: Sequence[VolumeMountArgs] = ()


@dataclass(frozen=True, kw_only=True)
class SidecarArgs:
    """What is served, by what, and in which namespace the application lives."""

    model: SidecarModel
    server: SidecarServer = field(default_factory=SidecarServer)
    inputs: SidecarInputs | None = None
    namespace: pulumi.Input[str] | None = None


class Sidecar(pulumi.ComponentResource):
    """`ollama-fleet:components:Sidecar`: the ConfigMap with the model and the shell that prepares it; `beside` adds the
    containers to a pod.

    The ConfigMap is named after its content: pods that start late, or again, never find another model than theirs.
    Raises ValueError for parameters that cannot work.
    """

    url: str
    """Where the application finds Ollama."""
    config_map: ConfigMap
    mount: VolumeMountArgs
    """For a container of the application that wants to see /shared as well."""

    def __init__(self, name: str, args: SidecarArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ollama-fleet:components:Sidecar", name, {}, opts)
        if taken := RESERVED & args.server.env.keys():
            raise ValueError(f"env sets {', '.join(sorted(taken))}, which the sidecar sets itself: take it out")
        model = prepared(args.model.name, args.model.modelfile, args.model.digest, inputs=args.inputs is not None)
        data = {**scripts(), **definitions([model])}
        self._args = args
        self.url = f"http://localhost:{args.server.port}"
        self.mount = VolumeMountArgs(name="ollama-shared", mount_path=SHARED)
        self.config_map = ConfigMap(
            f"{name}-ollama",
            metadata=ObjectMetaArgs(
                name=f"{name}-ollama-{fingerprint(json.dumps(data, sort_keys=True))[:8]}",
                namespace=args.namespace,
                labels=labels.MANAGED_BY,
            ),
            data=data,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"configMap": self.config_map.metadata.name})

    def beside(self, spec: PodSpecArgs) -> PodSpecArgs:
        """`spec` with Ollama in front of its own containers; what was given is not changed.

        Its own init containers run after Ollama's, so they can ask it too.
        """
        args = self._args
        ours = [_prepare(args), _server(args)]
        if args.inputs is not None:
            ours.insert(0, _inputs(args.inputs))
        volumes = [
            VolumeArgs(name="ollama-shared", empty_dir=EmptyDirVolumeSourceArgs()),
            VolumeArgs(name="ollama-tmp", empty_dir=EmptyDirVolumeSourceArgs()),
            VolumeArgs(
                name="ollama-prepare",
                config_map=ConfigMapVolumeSourceArgs(name=self.config_map.metadata.apply(lambda its: str(its.name))),
            ),
        ]
        grown = copy.copy(spec)
        grown.init_containers = _joined(ours, spec.init_containers)
        grown.volumes = _joined(volumes, spec.volumes)
        if args.server.gpu:
            # GKE adds it to pods that ask for a GPU; elsewhere nobody does
            any_gpu = TolerationArgs(key=labels.GPU_TAINT, operator="Exists", effect="NoSchedule")
            grown.tolerations = _joined([any_gpu], spec.tolerations)
        return grown


def _joined(ours: Sequence[Any], theirs: Any) -> Any:
    """Both lists in one; theirs may still be unknown."""
    if theirs is None:
        return list(ours)
    if isinstance(theirs, Sequence):
        return [*ours, *theirs]
    return pulumi.Output.from_input(theirs).apply(lambda known: [*ours, *(known or [])])


def _inputs(inputs: SidecarInputs) -> ContainerArgs:
    return ContainerArgs(
        name="ollama-inputs",
        image=inputs.image,
        command=list(inputs.command),
        env=list(inputs.env),
        resources=_resources(inputs.cpu, inputs.mem),
        security_context=_locked_down(),
        volume_mounts=[*_writable(), *inputs.volume_mounts],
    )


def _prepare(args: SidecarArgs) -> ContainerArgs:
    """Brings the model into /shared with a server of its own, and ends."""
    filled = {"FLEET_INPUTS": INPUTS} if args.inputs is not None else {}
    return ContainerArgs(
        name="ollama-prepare",
        image=args.server.image,
        command=command("init"),
        env=_environment(args, filled),
        resources=_resources(args.model.cpu, args.model.mem),
        security_context=_locked_down(),
        volume_mounts=_mounts(),
    )


def _server(args: SidecarArgs) -> ContainerArgs:
    """A native sidecar: it starts before the application's containers and ends after them, in Jobs too."""
    server = args.server
    resources = {"memory": server.mem} | ({"nvidia.com/gpu": str(server.gpu)} if server.gpu else {})
    return ContainerArgs(
        name="ollama",
        image=server.image,
        restart_policy="Always",
        command=command("alone"),
        env=_environment(
            args,
            {
                "FLEET_PROOF": "start" if server.gpu else "none",
                # there is one model, and the memory is its own
                "OLLAMA_KEEP_ALIVE": "-1",
                # a card that Ollama filters is to be seen on the CPU, not driven slowly through Vulkan (ollama#16908)
                "OLLAMA_VULKAN": "0",
                **server.env,
            },
        ),
        resources=ResourceRequirementsArgs(requests={"cpu": server.cpu, **resources}, limits=resources),
        security_context=_locked_down(),
        volume_mounts=_mounts(),
        startup_probe=_probe("started", period=STARTUP_PERIOD, timeout=30, threshold=100),
        readiness_probe=_probe("ready", period=10, timeout=10, threshold=3),
    )


def _probe(mode: str, *, period: int, timeout: int, threshold: int) -> ProbeArgs:
    # of a process: the server listens on loopback, where the kubelet cannot ask it
    return ProbeArgs(
        exec_=ExecActionArgs(command=command(mode)),
        period_seconds=period,
        timeout_seconds=timeout,
        failure_threshold=threshold,
    )


def _environment(args: SidecarArgs, more: Mapping[str, str]) -> list[EnvVarArgs]:
    values = {
        "FLEET_MODELS": containers.PREPARE,
        "HOME": f"{SHARED}/home",
        # Ollama asks for no key: nobody outside of the pod reaches it
        "OLLAMA_HOST": f"127.0.0.1:{args.server.port}",
        "OLLAMA_MODELS": f"{SHARED}/models",
        "OLLAMA_NO_CLOUD": "1",
        **more,
    }
    return [EnvVarArgs(name=key, value=value) for key, value in sorted(values.items())]


def _resources(cpu: str, mem: str) -> ResourceRequirementsArgs:
    return ResourceRequirementsArgs(requests={"cpu": cpu, "memory": mem}, limits={"memory": mem})


def _writable() -> list[VolumeMountArgs]:
    return [
        VolumeMountArgs(name="ollama-shared", mount_path=SHARED),
        VolumeMountArgs(name="ollama-tmp", mount_path="/tmp"),  # noqa: S108 - the container's own, an emptyDir
    ]


def _mounts() -> list[VolumeMountArgs]:
    return [*_writable(), VolumeMountArgs(name="ollama-prepare", mount_path=containers.PREPARE, read_only=True)]


def _locked_down() -> SecurityContextArgs:
    return SecurityContextArgs(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        run_as_non_root=True,
        run_as_user=USER,
        run_as_group=USER,
        capabilities=CapabilitiesArgs(drop=["ALL"]),
        seccomp_profile=SeccompProfileArgs(type="RuntimeDefault"),
    )
