"""The machines of a pool on GKE: type, GPUs, boot disk, zones and how many."""

from collections.abc import Iterator, Sequence
from math import ceil

from infra.catalogue.types import Catalogue, Gpu, NodeFacts
from infra.config import FleetConfig, Pool, place
from infra.config.types import shown
from infra.plan import cost
from infra.plan.capacity import GIB, LARGEST_DISK_GIB, Load, amount, pod_share, smallest_disk, usable_disk
from infra.plan.checks import is_gone
from infra.plan.model import Nodes
from infra.problem import Problem, error, warning


def gpus_per_node(catalogue: Catalogue, pool: Pool) -> int:
    """The file's number, else the smallest that Google offers and that holds a replica."""
    if pool.gpus_per_node is not None:
        return pool.gpus_per_node
    offered = _limits(catalogue, pool.gpu)
    return min((count for count in offered if count >= pool.gpus_per_replica), default=pool.gpus_per_replica)


def machines_for(catalogue: Catalogue, gpu: str, count: int) -> Iterator[str]:
    """The machine types that carry `count` devices of a GPU, attached or built in; for no GPU the general ones."""
    limit = next((limit for limit in catalogue.attach if limit.gpu == gpu and limit.gpus == count), None)
    for name, machine in catalogue.machines.items():
        if machine.gpu is not None:
            if machine.gpu == gpu and machine.gpus == count:
                yield name
        elif gpu == "none" or (
            limit
            and machine.family == "n1"
            and machine.vcpus <= limit.max_vcpus
            and machine.memory_gb <= limit.max_memory_gb
        ):
            yield name


def kept(catalogue: Catalogue, config: FleetConfig, gpu: Gpu) -> NodeFacts:
    """What is withheld on a node of that GPU: by GKE, and by the exporter where the file asks for it."""
    facts = catalogue.gke.node
    if gpu.compute is None or config.monitoring is None or not config.monitoring.gpus:
        return facts
    exporter = catalogue.gke.gpu_exporter
    return facts.model_copy(
        update={
            "system_cpu_millis": facts.system_cpu_millis + exporter.cpu_millis,
            "system_memory_mib": facts.system_memory_mib + exporter.memory_mib,
        }
    )


def nodes(
    catalogue: Catalogue, config: FleetConfig, name: str, pool: Pool, gpu: Gpu, load: Load
) -> tuple[Nodes | None, list[Problem]]:
    """The machines of a pool on GKE: the file's machine type, else the cheapest that holds its replicas."""
    problems: list[Problem] = []
    if is_gone(gpu) and not pool.allow_withdrawn:
        return None, []  # told of already: there is nothing to choose from
    count = 0 if gpu.compute is None else gpus_per_node(catalogue, pool)
    replicas_per_node = max(1, count // pool.gpus_per_replica) if count else 1
    if count and count < pool.gpus_per_replica:
        return None, [
            error(
                place("pools", name, "gpusPerReplica"),
                f"a replica wants {pool.gpus_per_replica} GPUs and a node has {count}",
                f"write gpusPerNode: {pool.gpus_per_replica} or fewer GPUs per replica",
            )
        ]
    problems += _idle_on_each(name, pool, count)
    machine_type, found = _machine_type(catalogue, config, name, pool, gpu, load, count, replicas_per_node)
    problems += found
    if machine_type is None:
        return None, problems
    disk_gb, found = _disk(catalogue, name, pool, load, replicas_per_node)
    problems += found
    problems += _idle_on_the_last(name, pool, replicas_per_node)
    zones, found = _zones(catalogue, config, name, pool, gpu)
    problems += found
    disk_type = _disk_type(catalogue, machine_type)
    return (
        Nodes(
            machine_type=machine_type,
            accelerator=_accelerator(pool, gpu),
            gpus_per_node=count,
            replicas_per_node=replicas_per_node,
            minimum=ceil(pool.replicas.min / replicas_per_node),
            maximum=ceil(pool.replicas.max / replicas_per_node),
            zones=zones,
            spot=pool.spot,
            disk_gb=disk_gb,
            disk_type=disk_type,
            hourly=cost.node_hourly(
                catalogue,
                config.gke.location if config.gke else "",
                machine_type,
                gpu=pool.gpu,
                gpus=count,
                spot=pool.spot,
                disk_gb=disk_gb,
                disk_type=disk_type,
            ),
        ),
        problems,
    )


def _idle_on_each(name: str, pool: Pool, gpus: int) -> Iterator[Problem]:
    """GPUs of a node that are too few for one more replica."""
    if idle := gpus % pool.gpus_per_replica:
        yield warning(
            place("pools", name, "gpusPerNode"),
            f"{idle} of {gpus} GPUs of each node stay idle and are paid for",
            f"use a multiple of {pool.gpus_per_replica}",
        )


def _idle_on_the_last(name: str, pool: Pool, replicas_per_node: int) -> Iterator[Problem]:
    """Room for replicas that the pool never has."""
    if idle := -pool.replicas.max % replicas_per_node:
        yield warning(
            place("pools", name, "replicas"),
            f"a node carries {replicas_per_node} replicas: at {pool.replicas.max}, the GPUs of {idle} more "
            "are paid for and stay idle",
            f"write a maximum of {pool.replicas.max + idle} replicas",
        )


def _disk_type(catalogue: Catalogue, machine_type: str) -> str:
    """Of the boot disk: not every machine takes every type."""
    facts, family = catalogue.gke, catalogue.machines[machine_type].family
    return facts.disk_type_by_family.get(machine_type, facts.disk_type_by_family.get(family, facts.disk_type))


def _accelerator(pool: Pool, gpu: Gpu) -> str | None:
    """Google's name of the GPU; for one that it never sold (allowWithdrawn) a name in its manner, which it refuses."""
    if gpu.compute is None:
        return None
    return (gpu.google.accelerator if gpu.google else None) or f"nvidia-tesla-{pool.gpu}"


def _machine_type(
    catalogue: Catalogue,
    config: FleetConfig,
    name: str,
    pool: Pool,
    gpu: Gpu,
    load: Load,
    count: int,
    replicas_per_node: int,
) -> tuple[str | None, list[Problem]]:
    location = config.gke.location if config.gke else ""
    facts = kept(catalogue, config, gpu)

    def price(candidate: str) -> tuple[bool, float, str]:
        hourly = cost.machine_hourly(catalogue, location, candidate, gpu=pool.gpu, gpus=count, spot=pool.spot)
        if hourly is None:
            # no price of the GPU: the machine without it still tells the cheaper one
            hourly = cost.machine_hourly(catalogue, location, candidate, gpu="none", gpus=0, spot=False)
        return (hourly is None, hourly or 0.0, candidate)

    def holds(candidate: str) -> bool:
        share = pod_share(catalogue.machines[candidate], facts, replicas=replicas_per_node)
        return share.cpu >= load.cpu and share.memory >= load.memory

    carrying = list(machines_for(catalogue, pool.gpu, count))
    if not carrying and is_gone(gpu) and not _limits(catalogue, pool.gpu):
        # M40 and M60 were never on Google's list; under allowWithdrawn they are described as an N1 would carry them
        carrying = [candidate for candidate, machine in catalogue.machines.items() if machine.family == "n1"]
    carrying.sort(key=price)
    fitting = [candidate for candidate in carrying if holds(candidate)]
    wish = pool.machine_type
    if wish is None and fitting:
        return fitting[0], []
    if wish is not None and wish in fitting:
        return wish, []
    here = place("pools", name) if wish is None else place("pools", name, "machineType")
    if not carrying:
        offered = ", ".join(map(str, _limits(catalogue, pool.gpu)))
        return None, [
            error(
                place("pools", name),
                f"Google has no machine with {count} x {gpu.title}",
                f"write a gpusPerNode that it has: {offered}",
            )
        ]
    return None, [error(here, *_unfit(catalogue, facts, pool, gpu, load, replicas_per_node, carrying, fitting))]


def _unfit(
    catalogue: Catalogue,
    facts: NodeFacts,
    pool: Pool,
    gpu: Gpu,
    load: Load,
    replicas_per_node: int,
    carrying: Sequence[str],
    fitting: Sequence[str],
) -> tuple[str, str]:
    """Why no machine, or not the one that the file names, will do; and what will."""
    wish, count = pool.machine_type, replicas_per_node * pool.gpus_per_replica if gpu.compute else 0
    less, listed = "put fewer models on the pool", ", ".join((fitting or carrying)[:8])
    wanted = amount(load.cpu, load.memory)
    if wish is None:
        carried = f"with {count} x {gpu.title} " if count else ""
        message = f"no machine {carried}leaves {replicas_per_node} replica(s) {wanted} each"
        remedy = less + (", or write a larger gpusPerReplica" if count else "")
    elif wish not in catalogue.machines:
        message, remedy = f"the catalogue does not know the machine type {shown(wish)}", f"use one of {listed}"
    elif wish not in carrying:
        message = f"{wish} cannot carry {count} x {gpu.title}" if count else f"{wish} brings GPUs that the pool has not"
        remedy = f"use one of {listed}"
    else:
        share = pod_share(catalogue.machines[wish], facts, replicas=replicas_per_node)
        left = amount(share.cpu, share.memory)
        message = f"{wish} leaves each of {replicas_per_node} replica(s) {left}, and one needs {wanted}"
        remedy = f"use one of {listed}" if fitting else less
    return message, remedy


def _limits(catalogue: Catalogue, gpu: str) -> list[int]:
    """The numbers of a GPU that Google puts on one machine."""
    attached = {limit.gpus for limit in catalogue.attach if limit.gpu == gpu}
    built_in = {int(machine.gpus) for machine in catalogue.machines.values() if machine.gpu == gpu}
    return sorted((attached | built_in) - {0})


def _disk(catalogue: Catalogue, name: str, pool: Pool, load: Load, replicas_per_node: int) -> tuple[int, list[Problem]]:
    server, facts = catalogue.gke.server, catalogue.gke.node
    models = 0 if pool.storage == "volume" else load.models * replicas_per_node
    needed = load.image + models + int(server.disk_overhead_gb * 10**9)
    if pool.disk is not None:
        size = pool.disk // GIB
        if size <= LARGEST_DISK_GIB and usable_disk(size, facts) >= needed:
            return size, []
        if size > LARGEST_DISK_GIB:
            return size, [
                error(
                    place("pools", name, "disk"),
                    f"Google's largest disk has {LARGEST_DISK_GIB} GiB",
                    "take disk out: the plan chooses one that holds the models",
                )
            ]
        least = smallest_disk(catalogue, needed, start=size)
        return size, [
            error(
                place("pools", name, "disk"),
                f"a boot disk of {size} GiB leaves {usable_disk(size, facts) / GIB:.1f} GiB, "
                f"and image and models need {needed / GIB:.1f}",
                f"write disk: {least}Gi, or take disk out" if least else "put fewer models on the pool",
            )
        ]
    chosen = smallest_disk(catalogue, needed, start=server.default_disk_gb)
    if chosen is None:
        return LARGEST_DISK_GIB, [
            error(
                place("pools", name),
                f"image and models need {needed / GIB:,.0f} GiB, and Google's largest disk has {LARGEST_DISK_GIB}",
                "put fewer models on the pool, or mend their disk:",
            )
        ]
    return chosen, []


def zone_of(catalogue: Catalogue, location: str) -> str:
    """A zone that exists there: the location, or the first of a region that the catalogue has (us-east1 has no -a)."""
    region = cost.region(location)
    if location != region:
        return location
    seen = {zone for gpu in catalogue.gpus.values() if gpu.google for zone in gpu.google.zones}
    return min((zone for zone in seen if zone.startswith(f"{region}-")), default=f"{region}-a")


def _zones(
    catalogue: Catalogue, config: FleetConfig, name: str, pool: Pool, gpu: Gpu
) -> tuple[tuple[str, ...], list[Problem]]:
    location = config.gke.location if config.gke else ""
    region = cost.region(location)
    here = place("pools", name, "zones")
    offered = sorted(zone for zone in (gpu.google.zones if gpu.google else ()) if zone.startswith(f"{region}-"))
    if pool.zones:
        outside = [zone for zone in pool.zones if not zone.startswith(f"{region}-")]
        if outside:
            return pool.zones, [
                error(here, f"{outside[0]} is not in the cluster's region {region}", f"use zones of {region}")
            ]
        zones = tuple(sorted(set(pool.zones)))
    elif location != region:
        zones = (location,)
    else:
        # one zone, since each further one would multiply the GPUs that quota has to cover
        zones = (offered[0],) if offered else (zone_of(catalogue, location),)
    sold = gpu.google.zones if gpu.google else frozenset()
    missing = [zone for zone in zones if sold and zone not in sold]
    if missing:
        return zones, [
            warning(
                place("pools", name, "gpu"),
                f"the catalogue's list has no {gpu.title} in {', '.join(missing)} (the sources disagree in places)",
                f"in this region: {', '.join(offered)}"
                if offered
                else f"zones that have it: {', '.join(sorted(sold)[:6])}, ...",
            )
        ]
    return zones, []
