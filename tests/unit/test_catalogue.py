"""The catalogue's data: every entry sourced, every reference resolved, nothing that Google sells without a price."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import tools
from infra.catalogue import Catalogue, load, types
from infra.catalogue.load import read
from infra.catalogue.replacements import replacements
from infra.catalogue.types import Availability, Fact, Gpu

ROOT = Path(__file__).parents[2]
HOME_REGION = "us-central1"
SOLD = (Availability.AVAILABLE, Availability.ENDING)


def facts(value: Any, path: str = "") -> Iterator[tuple[str, Fact]]:
    """Every entry below `value`, with its path."""
    if isinstance(value, Fact):
        yield path, value
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, dict):
        for name, item in value.items():
            yield from facts(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from facts(item, f"{path}.{index}")


def raw() -> dict[str, Any]:
    """The files as plain values, in the catalogue's form."""
    machines = read("machines")
    names = ("gpus", "releases", "driver_containers", "prices", "gke")
    return {**machines, **read("models"), **{name: read(name) for name in names}}


def newest(catalogue: Catalogue) -> date:
    return max(fact.date for _, fact in facts(catalogue))


def sold_by_google(catalogue: Catalogue) -> dict[str, Gpu]:
    return {name: gpu for name, gpu in catalogue.gpus.items() if gpu.google is not None and gpu.google.state in SOLD}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load()


def test_every_entry_names_a_public_source_and_a_date(catalogue: Catalogue) -> None:
    entries = dict(facts(catalogue))
    assert len(entries) > 300
    for path, fact in entries.items():
        assert fact.date >= date(2026, 1, 1), path
        assert "shared/" not in fact.source, path
        known = ("/", "Compute Engine", "decision of ollama-fleet")
        assert any(mark in fact.source for mark in known), path


def test_every_kind_of_fact_is_read_by_something() -> None:
    """What nobody asks for is not kept; source, date and notes are for people."""
    for_people = {"source", "date", "inferred", "note", "quantization"}
    folders = ("infra/plan", "infra/report", "infra/commands", "components")
    code = "\n".join(path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py"))
    kinds = [kind for kind in vars(types).values() if isinstance(kind, type) and issubclass(kind, BaseModel)]
    for kind in kinds:
        for key in set(kind.model_fields) - for_people:
            assert re.search(rf"\.{key}\b", code), f"{kind.__name__}.{key}"


def test_what_is_from_memory_says_that_it_is_inferred(catalogue: Catalogue) -> None:
    for path, fact in facts(catalogue):
        if "from memory" in fact.source:
            assert fact.inferred, path


def test_every_card_of_the_project_is_described(catalogue: Catalogue) -> None:
    expected = {
        "k80", "m40", "m40-24gb", "m60", "p4", "p100", "p100-12gb", "v100", "v100-32gb", "t4",
        "l4", "a100-40gb", "a100-80gb", "h100", "h200", "rtx-pro-6000", "none",
    }  # fmt: skip
    assert set(catalogue.gpus) == expected


def test_no_gpu_has_no_memory_and_no_compute_capability(catalogue: Catalogue) -> None:
    none = catalogue.gpus["none"]
    assert (none.memory_mib, none.compute_capability, none.google) == (0, (0, 0), None)


def test_a_device_reports_less_memory_than_its_name_and_not_much_less(catalogue: Catalogue) -> None:
    for name, gpu in catalogue.gpus.items():
        if name == "none":
            continue
        title_mib = int(gpu.memory_title.removesuffix(" GB")) * 1024
        assert 0.90 * title_mib < gpu.memory_mib < title_mib, name


def test_the_last_driver_branch_is_not_before_the_first(catalogue: Catalogue) -> None:
    for name, gpu in catalogue.gpus.items():
        if gpu.first_driver is not None and gpu.last_driver is not None:
            assert gpu.last_driver >= gpu.first_driver, name


def test_the_default_driver_of_a_card_is_known_and_supports_it(catalogue: Catalogue) -> None:
    drivers = catalogue.releases.drivers
    pinned = {driver.exact: driver for driver in drivers.values() if driver.exact}
    for name, gpu in catalogue.gpus.items():
        if gpu.default_driver is None:
            assert name == "none"
            continue
        driver = drivers.get(gpu.default_driver) or pinned[gpu.default_driver]
        assert gpu.first_driver is not None and gpu.first_driver <= driver.branch, name
        assert gpu.last_driver is None or driver.branch <= gpu.last_driver, name


def test_the_key_of_a_driver_branch_is_its_number(catalogue: Catalogue) -> None:
    for name, driver in catalogue.releases.drivers.items():
        assert name == f"R{driver.branch}"
        assert driver.exact is None or driver.exact.startswith(f"{driver.branch}."), name
        assert driver.on_ubuntu is None or driver.on_ubuntu.startswith(f"{driver.branch}."), name


def test_the_default_image_of_a_card_is_known_and_serves_it(catalogue: Catalogue) -> None:
    releases = catalogue.releases
    for name, gpu in catalogue.gpus.items():
        if name == "none":
            continue
        repository, _, tag = (gpu.default_image or releases.default_image).rpartition(":")
        image = releases.images[repository]
        assert tag
        capability = gpu.compute_capability
        assert capability >= as_numbers(image.minimum_compute), name
        assert image.maximum_compute is None or capability <= as_numbers(image.maximum_compute)


def test_only_the_k80_needs_an_image_that_is_not_official(catalogue: Catalogue) -> None:
    assert [name for name, gpu in catalogue.gpus.items() if gpu.default_image] == ["k80"]


def test_image_driver_branches_are_known(catalogue: Catalogue) -> None:
    branches = {driver.branch for driver in catalogue.releases.drivers.values()}
    for name, image in catalogue.releases.images.items():
        assert set(image.drivers) <= branches, name


def test_a_driver_floor_ends_after_it_begins(catalogue: Catalogue) -> None:
    for floor in catalogue.releases.floors:
        if floor.until is not None:
            assert as_numbers(floor.since) < as_numbers(floor.until)


def test_a_card_that_google_withdrew_has_its_day_in_the_past(catalogue: Catalogue) -> None:
    today = newest(catalogue)
    for name, gpu in catalogue.gpus.items():
        if gpu.google is None or gpu.google.ends is None:
            continue
        assert (gpu.google.ends < today) == (gpu.google.state is Availability.WITHDRAWN), name


def test_a_card_that_google_never_sold_has_no_accelerator_name(catalogue: Catalogue) -> None:
    for name, gpu in catalogue.gpus.items():
        if gpu.google is not None:
            never = gpu.google.state is Availability.NEVER
            assert (gpu.google.accelerator is None) == never, name
            assert (gpu.google.quota is None) == never, name


def test_every_gpu_that_google_sells_has_zones(catalogue: Catalogue) -> None:
    for name, gpu in sold_by_google(catalogue).items():
        assert gpu.google is not None and gpu.google.zones, name


def test_every_gpu_that_google_sells_has_a_machine_or_can_be_attached(catalogue: Catalogue) -> None:
    with_machine = {machine.gpu for machine in catalogue.machines.values()}
    attached = {limit.gpu for limit in catalogue.attach}
    assert set(sold_by_google(catalogue)) <= with_machine | attached


def test_every_gpu_that_google_sells_has_a_price_for_its_smallest_node(catalogue: Catalogue) -> None:
    prices = catalogue.prices[HOME_REGION]
    attached = {limit.gpu for limit in catalogue.attach}
    for name in sold_by_google(catalogue):
        bundled = {key for key, machine in catalogue.machines.items() if machine.gpu == name}
        if name in attached:
            assert name in prices.gpus and "n1" in prices.families
        else:
            assert bundled <= set(prices.machines), name


def test_machines_and_attach_limits_name_known_gpus(catalogue: Catalogue) -> None:
    named = {machine.gpu for machine in catalogue.machines.values() if machine.gpu}
    assert named | {limit.gpu for limit in catalogue.attach} <= set(catalogue.gpus)


def test_attach_limits_grow_with_the_number_of_gpus(catalogue: Catalogue) -> None:
    for gpu in {limit.gpu for limit in catalogue.attach}:
        limits = [limit for limit in catalogue.attach if limit.gpu == gpu]
        assert limits == sorted(limits, key=lambda limit: limit.gpus)
        assert len({limit.gpus for limit in limits}) == len(limits)
        cores = [limit.max_vcpus for limit in limits]
        assert cores == sorted(cores)


def test_every_machine_has_a_host_price_or_a_bundle(catalogue: Catalogue) -> None:
    prices = catalogue.prices[HOME_REGION]
    for name, machine in catalogue.machines.items():
        if machine.gpu is None:
            assert name in prices.machines or machine.family in prices.families, name
        else:
            assert name in prices.machines, name


@pytest.mark.parametrize("region", sorted(read("prices")))
def test_prices_name_known_things(catalogue: Catalogue, region: str) -> None:
    prices = catalogue.prices[region]
    assert set(prices.machines) <= set(catalogue.machines)
    assert set(prices.gpus) <= set(catalogue.gpus)
    families = {machine.family for machine in catalogue.machines.values()}
    assert {"n1", "e2"} <= set(prices.families) <= families
    disks = {catalogue.gke.disk_type, *catalogue.gke.disk_type_by_family.values()}
    assert disks <= set(prices.disks)


@pytest.mark.parametrize("region", sorted(read("prices")))
def test_spot_costs_less_than_on_demand(catalogue: Catalogue, region: str) -> None:
    prices = catalogue.prices[region]
    for name, price in [*prices.machines.items(), *prices.gpus.items()]:
        assert price.spot is None or 0 < price.spot < price.on_demand, name
    for name, host in prices.families.items():
        assert host.spot_vcpu is None or host.spot_vcpu < host.vcpu, name
        assert host.spot_gb is None or host.spot_gb < host.gb, name


def test_the_host_rates_and_the_gpu_add_up_to_the_bundle(catalogue: Catalogue) -> None:
    prices = catalogue.prices[HOME_REGION]
    for name in ("g2-standard-4", "g2-standard-96", "a2-highgpu-1g", "a2-highgpu-8g"):
        machine = catalogue.machines[name]
        host = prices.families[machine.family]
        assert machine.gpu is not None
        parts = host.vcpu * machine.vcpus + host.gb * machine.memory_gb
        parts += prices.gpus[machine.gpu].on_demand * machine.gpus
        assert prices.machines[name].on_demand == pytest.approx(parts, rel=0.001), name


def test_sliding_layers_are_a_part_of_all_layers(catalogue: Catalogue) -> None:
    for name, model in catalogue.models.items():
        if model.shape.sliding is not None:
            assert model.shape.sliding.layers <= model.shape.layers, name


def test_query_heads_share_key_value_heads_evenly(catalogue: Catalogue) -> None:
    for name, model in catalogue.models.items():
        assert model.shape.heads % model.shape.kv_heads == 0, name


def test_every_bare_name_stands_for_a_model_of_the_catalogue(catalogue: Catalogue) -> None:
    for name, tag in catalogue.latest.tags.items():
        assert tag in catalogue.models, name
        assert name not in catalogue.models, name


def test_embedding_models_run_one_request_at_a_time(catalogue: Catalogue) -> None:
    encoders = {name: m for name, m in catalogue.models.items() if m.kind == "embedding"}
    assert encoders
    assert all(model.single_parallel for model in encoders.values())


def test_the_system_node_is_a_known_machine(catalogue: Catalogue) -> None:
    assert catalogue.gke.system_machine in catalogue.machines
    assert catalogue.gke.system_nodes_min <= catalogue.gke.system_nodes_max


def test_disk_types_are_given_for_families_that_exist(catalogue: Catalogue) -> None:
    families = {machine.family for machine in catalogue.machines.values()}
    assert set(catalogue.gke.disk_type_by_family) <= families


def test_reservations_rise_and_the_last_has_no_end(catalogue: Catalogue) -> None:
    for steps in (catalogue.gke.node.cpu, catalogue.gke.node.memory):
        bounds = [step.up_to for step in steps]
        assert bounds.pop() is None
        assert bounds == sorted(bound for bound in bounds if bound is not None)


def test_the_catalogue_reads_the_same_twice(catalogue: Catalogue) -> None:
    load.cache_clear()
    assert load() == catalogue
    assert Catalogue.model_validate(raw()) == catalogue


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("gpus", "t4", "memory_mib"), -1),
        (("gpus", "t4", "colour"), "green"),
        (("gpus", "t4", "google", "ends"), None),
        (("machines", "g2-standard-4", "gpus"), 0),
        (("models", "llama3.2:3b", "shape", "layers"), 0),
        (("releases", "floors", 0, "outcome"), "slow"),
        (("prices", "us-central1", "gpus", "t4", "on_demand"), -0.1),
        (("gke", "node", "source"), ""),
    ],
)
def test_a_malformed_entry_is_refused_with_its_path(path: tuple[str | int, ...], value: Any) -> None:
    data = raw()
    entry: Any = data
    for step in path[:-1]:
        entry = entry[step]
    entry[path[-1]] = value
    with pytest.raises(ValidationError) as refusal:
        Catalogue.model_validate(data)
    (problem,) = refusal.value.errors()
    assert problem["loc"] == path[: len(problem["loc"])]
    assert len(problem["loc"]) >= 2


def as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def test_what_replaces_a_resource_is_sourced_and_speaks_of_known_types() -> None:
    known = replacements()
    entries = dict(facts(known))
    assert set(entries) == {"google", "google_recreates", "kubernetes", "random"}
    assert all("/" in fact.source and fact.date >= date(2026, 1, 1) for fact in entries.values())
    for paths in (known.google.computed, known.google_recreates.paths):
        assert set(paths) <= set(known.google_types)


def test_the_chat_that_is_tried_is_the_one_that_runs(catalogue: Catalogue) -> None:
    tool = tools.pins()["open-webui-python"]
    assert catalogue.gke.images["chat"].endswith(f":v{tool.version}")
    assert tool.python is not None
    assert (ROOT / tool.python.requirements).read_text() == f"open-webui=={tool.version}\n"
    assert tool.only_named, "`make tools` and CI do without its 7 GB"
