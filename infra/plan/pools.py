"""One pool, decided: its server's settings, its memory, its machines, and what must be in place on it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from infra.catalogue.types import Catalogue, Gpu
from infra.config import Pool
from infra.plan import (
    capacity,
    checks,
    compatibility,
    containers,
    driver_container,
    memory,
    naming,
    needs,
    nodes,
    placement,
    prepared,
    routes,
    scaling,
    site_plans,
    sources,
    volume,
)
from infra.plan.capacity import Load
from infra.plan.draft import Draft
from infra.plan.inputs import Inputs
from infra.plan.model import (
    OLLAMA_PORT,
    Nodes,
    PoolPlan,
    Resident,
    Runtime,
    SitePlacement,
    Verdict,
)
from infra.plan.placement import ServerSettings
from infra.problem import Problem

FOREVER = -1
FIVE_MINUTES = 300
MEMORY_ROOM = 2
"""What the containers that prepare models may take of what they ask for: a pull has peaks."""
AFTER_DRAIN = 30
"""Seconds. The drain may take its whole limit, then Ollama cuts what is left."""
STARTUP_PERIOD = 3
NODE_START = 20 * 60
"""Seconds that a replica may have to wait for beside its models: node, driver and image."""


def draft(inputs: Inputs, name: str, models: Sequence[str]) -> tuple[Draft | None, list[Problem]]:
    """Everything about a pool but its machines; None for a GPU that does not exist."""
    catalogue, pool = inputs.catalogue, inputs.config.pools[name]
    gpu = catalogue.gpus.get(pool.gpu)
    if gpu is None:
        return None, [checks.unknown_gpu(catalogue, name, pool)]
    driver = compatibility.driver(catalogue, pool, gpu)
    if driver.mode == "container":
        driver = driver_container.plan(catalogue, inputs.config, pool, gpu)
    if shared := inputs.shared.get(name):
        driver = replace(driver, branch=shared.branch, exact=None)
        pool = pool.model_copy(update={"image": shared.image})
    site = inputs.config.sites.get(pool.site or "")
    theirs = site is not None and site.kind == "endpoints"
    runtime, judgement = compatibility.runtime(catalogue, pool, gpu, driver.branch, theirs=theirs)
    problems = [
        *compatibility.check(catalogue, name, pool, gpu, driver, runtime, judgement),
        *driver_container.check(catalogue, inputs.config, name, pool, driver),
        *checks.options(name, pool, gpu),
        *checks.too_old(inputs.known, name, models, runtime),
    ]
    settings = server_settings(catalogue, pool, gpu, runtime.image)
    residents, found = placement.residents(
        catalogue, name, [inputs.known[model] for model in models], inputs.contexts, settings
    )
    problems += found
    together = loads_together(pool)
    facts = catalogue.gke.memory
    devices = 1 if gpu.compute is None else pool.gpus_per_replica
    per_device = gpu.memory_mib * memory.MIB
    judged = memory.judge(residents, facts, per_device=per_device, devices=devices, together=together)
    drafted = Draft(
        name=name,
        pool=pool,
        gpu=gpu,
        driver=driver,
        runtime=runtime,
        settings=settings,
        residents=residents,
        prepared=tuple(prepared.on_pool(inputs, name, models)),
        memory=judged,
        together=together,
        # without a GPU the models stand in main memory, so they are part of what the node must hold
        load=_load(catalogue, residents, runtime, together=together, beside=0 if gpu.compute else judged.used),
    )
    gke = inputs.config.gke
    newer = checks.successor(catalogue, drafted, gke.location if gke else "")
    problems += checks.availability(name, pool, gpu, newer, existing=gke is not None and gke.cluster is not None)
    if judged.verdict in (Verdict.TOO_LARGE, Verdict.TIGHT):
        problems.append(checks.memory_problem(drafted, _largest_context(inputs, drafted)))
    return drafted, [*problems, *checks.turns(drafted, facts)]


def _load(
    catalogue: Catalogue, residents: Sequence[Resident], runtime: Runtime, *, together: bool, beside: int
) -> Load:
    """What a replica takes of its node; `beside` are bytes of main memory that it needs beyond the servers' own."""
    server = catalogue.gke.server
    blobs = [resident for resident in residents if resident.shares is None]
    image = compatibility.find_image(catalogue, runtime.image)
    default_image = catalogue.releases.images[compatibility.repository(catalogue.releases.default_image)]
    host = capacity.host_memory(catalogue, loaded=len(blobs) if together else min(1, len(blobs)))
    return Load(
        cpu=server.minimum_cpu_millis + server.companion_cpu_millis,
        memory=host + beside + server.companion_memory_mib * memory.MIB,
        models=sum(resident.disk for resident in blobs),
        image=int((image or default_image).size_gb * 10**9),
    )


def loads_together(pool: Pool) -> bool:
    """Whether all models must be resident at once: the default on GKE; at sites they take turns."""
    return pool.loading == "together" if pool.loading else pool.site is None


def server_settings(catalogue: Catalogue, pool: Pool, gpu: Gpu, image: str) -> ServerSettings:
    """The settings of the pool's server that decide about memory."""
    return ServerSettings(
        parallel=pool.parallel,
        kv_type=pool.kv_cache,
        flash_attention=compatibility.flash_attention(catalogue, pool, gpu, image),
    )


def finish(
    inputs: Inputs, drafted: Draft, machines: Nodes | None, placements: tuple[SitePlacement, ...], namespace: str
) -> PoolPlan:
    """The plan of a pool whose machines are known."""
    pool, name = drafted.pool, drafted.name
    names = naming.pool(name)
    catalogue = inputs.catalogue
    server = catalogue.gke.server
    if machines is not None:
        share = capacity.pod_share(
            catalogue.machines[machines.machine_type],
            nodes.kept(catalogue, inputs.config, drafted.gpu),
            replicas=machines.replicas_per_node,
        )
    else:
        share = capacity.Allocatable(cpu=drafted.load.cpu, memory=drafted.load.memory)
    storage = sources.storage(pool)
    pulling = sources.environment(inputs.config.proxy, containers.PREPARE)
    judged = drafted.memory
    site = inputs.config.sites.get(pool.site or "")
    if drafted.gpu.compute is None:
        judged = memory.judge(
            drafted.residents, catalogue.gke.memory, per_device=share.memory, devices=1, together=drafted.together
        )
    return PoolPlan(
        name=name,
        gpu=pool.gpu,
        gpu_title=drafted.gpu.title,
        gpu_memory_title=drafted.gpu.memory_title,
        site=pool.site,
        replicas=pool.replicas,
        scaling=scaling.build(catalogue, drafted, machines),
        gpus_per_replica=pool.gpus_per_replica if drafted.gpu.compute else 0,
        names=names,
        memory=judged,
        residents=drafted.residents,
        prepared=drafted.prepared,
        elsewhere=prepared.elsewhere(inputs, name, [one.model for one in drafted.residents]),
        driver=drafted.driver,
        runtime=drafted.runtime,
        nodes=machines,
        placements=placements,
        loading="together" if drafted.together else "onDemand",
        storage=storage,
        volume=volume.size(inputs.config, pool, drafted.residents),
        gpu_proof=_gpu_proof(inputs, drafted),
        leave_together=max(
            [machines.replicas_per_node] if machines else [one.replicas for one in placements], default=1
        ),
        context=placement.pool_context(catalogue, inputs.config, name),
        parallel=pool.parallel,
        cpu_request=share.cpu - server.companion_cpu_millis,
        memory_request=share.memory - server.companion_memory_mib * memory.MIB,
        prepare_cpu=server.prepare_cpu_millis,
        prepare_memory=server.prepare_memory_mib * memory.MIB,
        prepare_memory_limit=MEMORY_ROOM * server.prepare_memory_mib * memory.MIB,
        companion_cpu=server.companion_cpu_millis,
        companion_memory=server.companion_memory_mib * memory.MIB,
        companion_memory_limit=MEMORY_ROOM * server.companion_memory_mib * memory.MIB,
        model_storage=drafted.load.models,
        environment=dict(sorted((_environment(inputs, drafted) | pulling).items())),
        pull_environment=pulling,
        pull_deadline=pool.pull_deadline,
        drain_limit=pool.drain_limit,
        grace_period=pool.drain_limit + AFTER_DRAIN,
        startup_threshold=pool.startup_threshold,
        startup_period=STARTUP_PERIOD,
        rollout_deadline=pool.pull_deadline + pool.startup_threshold * STARTUP_PERIOD + NODE_START,
        runtime_class=pool.runtime_class or (site_plans.runtime_class(site) if drafted.gpu.compute else None),
        needs=needs.of_pool(catalogue, drafted, namespace),
        address=routes.address(inputs.config, name, workload=names.workload, namespace=namespace),
        google_refuses=pool.site is None and checks.is_gone(drafted.gpu),
    )


def _gpu_proof(inputs: Inputs, drafted: Draft) -> Literal["none", "start", "always"]:
    if drafted.gpu.compute is None or not drafted.pool.verify_gpu:
        return "none"
    # with other options of a client a model may well stand partly on the CPU, and the pod is none the worse for it
    return "always" if inputs.config.router.client_options == "refuse" else "start"


def _environment(inputs: Inputs, drafted: Draft) -> dict[str, str]:
    """What the plan decides for `ollama serve`; the file's `env` is checked not to contradict it."""
    pool = drafted.pool
    keep_alive = pool.keep_alive if pool.keep_alive is not None else FOREVER if drafted.together else FIVE_MINUTES
    return dict(pool.env) | {
        "OLLAMA_HOST": f"0.0.0.0:{OLLAMA_PORT}",
        "OLLAMA_CONTEXT_LENGTH": str(placement.pool_context(inputs.catalogue, inputs.config, drafted.name)),
        "OLLAMA_NUM_PARALLEL": str(pool.parallel),
        "OLLAMA_KEEP_ALIVE": str(keep_alive) if keep_alive == FOREVER else f"{keep_alive}s",
        # above any number of models that fit: were it their number, adding a model would restart the pods
        "OLLAMA_MAX_LOADED_MODELS": "100",
        "OLLAMA_FLASH_ATTENTION": "1" if drafted.settings.flash_attention else "0",
        "OLLAMA_KV_CACHE_TYPE": pool.kv_cache,
        # a card that Ollama filters would otherwise be driven slowly through Vulkan while `ollama ps` says GPU
        # (ollama#16908); without it the fall to the CPU is seen
        "OLLAMA_VULKAN": "0",
        "OLLAMA_NO_CLOUD": "1",
        # the pages that may ask through a browser; none listed leaves Ollama's own, localhost
        **({"OLLAMA_ORIGINS": ",".join(origins)} if (origins := inputs.config.router.origins) else {}),
        # the blobs that a second server on the node is fetching belong to no model yet
        **({"OLLAMA_NOPRUNE": "1"} if sources.storage(pool) == "node" else {}),
    }


def _largest_context(inputs: Inputs, drafted: Draft) -> tuple[Resident, int] | None:
    """The largest resident, and the context at which it would fit beside the others; None for one without a context."""
    distinct = [one for one in drafted.residents if one.shares is None]
    largest = max(distinct, key=lambda one: one.need.device)
    facts = inputs.known[largest.model].facts
    if facts is None or facts.kind == "embedding":
        return None
    context = memory.largest_context(
        facts,
        [one for one in distinct if one is not largest],
        inputs.catalogue.gke.memory,
        per_device=drafted.memory.per_device,
        devices=drafted.memory.devices,
        together=drafted.together,
        resident=largest,
        kv_type=drafted.settings.kv_type,
        flash_attention=drafted.settings.flash_attention,
    )
    return largest, context
