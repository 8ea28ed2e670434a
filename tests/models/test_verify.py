"""What a machine must have before a server starts on it, against machines made of files and programs that say so."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from infra.plan.model import Cards, HostNeeds
from prepare.definitions import one_script, verification
from tests.models.pod import Ended, Pod

K80 = Cards(count=2, title="K80", product="Tesla K80", pci=("102d",))
M60 = Cards(count=1, title="M60", product="Tesla M60", pci=("13f2",))
P100 = Cards(count=1, title="P100", product="Tesla P100-(PCIE|SXM2)-16GB", pci=("15f8", "15f9"))
OLD = HostNeeds(cards=(K80,), least_driver=470, most_driver=470, modules="proprietary", maps_uvm=True)
T4 = HostNeeds(cards=(Cards(count=1, title="T4", product="Tesla T4", pci=("1eb8",)),), least_driver=550)
PRO = HostNeeds(
    cards=(Cards(count=1, title="RTX PRO 6000", product="NVIDIA RTX PRO 6000 Blackwell.*", pci=()),),
    least_driver=570,
    modules="open",
)
INSTALLED = HostNeeds(cards=T4.cards, driver="580.")
LOG = "kubectl -n ollama-drivers logs -l app.kubernetes.io/component=nvidia-driver --prefix"
CONTAINER = HostNeeds(cards=T4.cards, driver="580.178.04", driver_log=LOG)
CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Thu May  2 14:37:44 UTC 2024"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build  (dvs-builder@U16-I3-AE20)"
TOOLKIT = (
    "sudo apt-get install nvidia-container-toolkit, sudo nvidia-ctk runtime configure --runtime=docker, "
    "sudo systemctl restart docker"
)
UVM = (
    "sudo nvidia-modprobe -u -c=0, and at each start of the machine: "
    "echo nvidia-uvm | sudo tee /etc/modules-load.d/nvidia-uvm.conf"
)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What is there. Names of cards are what nvidia-smi prints; `smi_fails` is what it says instead."""

    driver: str = ""
    open: bool = False
    cards: tuple[str, ...] = ()
    bus: tuple[str, ...] = ()
    nouveau: bool = False
    smi_fails: str = ""
    toolkit: bool = True
    devices: tuple[str, ...] = ("nvidia-uvm", "nvidia-uvm-tools")
    lspci: bool = True


@dataclass(frozen=True, kw_only=True)
class Case:
    title: str
    needs: HostNeeds
    machine: Machine
    says: tuple[str, ...] = ()
    """What it says; nothing where the machine is as planned."""
    more: dict[str, str] = field(default_factory=dict)


TWO_K80 = Machine(driver="470.256.02", cards=("Tesla K80", "Tesla K80"), bus=("102d", "102d"))
CASES = (
    Case(title="as planned", needs=OLD, machine=TWO_K80),
    Case(title="more cards than planned", needs=OLD, machine=Machine(**{**vars(TWO_K80), "cards": ("Tesla K80",) * 4})),
    Case(title="no GPU planned", needs=HostNeeds(), machine=Machine()),
    Case(title="a newer driver that is good as well", needs=T4, machine=Machine(driver="595.10", cards=("Tesla T4",))),
    Case(
        title="another name for the same chip",
        needs=HostNeeds(cards=(K80,), least_driver=470),
        machine=Machine(driver="470.256.02", cards=("Tesla K80", "Quadro of a rebrander")),
    ),
    Case(
        title="of two names one",
        needs=HostNeeds(cards=(P100,), least_driver=570, most_driver=580),
        machine=Machine(driver="580.95.05", cards=("Tesla P100-SXM2-16GB",)),
    ),
    Case(
        title="open modules where nothing else is",
        needs=PRO,
        machine=Machine(driver="580.95.05", open=True, cards=("NVIDIA RTX PRO 6000 Blackwell Server Edition",)),
    ),
    Case(
        title="the version that was installed",
        needs=INSTALLED,
        machine=Machine(driver="580.126.9", cards=("Tesla T4",)),
    ),
    Case(
        title="no card at all",
        needs=OLD,
        machine=Machine(),
        says=("there is no NVIDIA card on the PCI bus, planned: 2 x K80 -> seat and power the card",),
    ),
    Case(
        title="a card without a driver",
        needs=OLD,
        machine=Machine(bus=("102d", "102d")),
        says=("no NVIDIA driver is loaded, planned: driver 470. -> sudo apt-get install nvidia-driver-470, then sudo",),
    ),
    Case(
        title="a card that only the PCI tree shows",
        needs=T4,
        machine=Machine(bus=("1eb8",), lspci=False),
        says=("no NVIDIA driver is loaded, planned: driver 550- -> sudo apt-get install nvidia-driver-550",),
    ),
    Case(
        title="a driver in a container that is not there yet",
        needs=CONTAINER,
        machine=Machine(bus=("1eb8",)),
        says=(f"no NVIDIA driver is loaded, planned: driver 580.178.04 -> {LOG} says why it is not there",),
    ),
    Case(
        title="a driver of the machine in the place of the container's",
        needs=CONTAINER,
        machine=Machine(driver="580.126.09", cards=("Tesla T4",)),
        says=("driver 580.126.09 is loaded, planned: driver 580.178.04 ->", "the machine itself must have no driver"),
    ),
    Case(
        title="the driver of the container",
        needs=CONTAINER,
        machine=Machine(driver="580.178.04", cards=("Tesla T4",)),
    ),
    Case(
        title="nouveau",
        needs=OLD,
        machine=Machine(bus=("102d",), nouveau=True),
        says=("nouveau drives the card", "blacklist nouveau", "sudo apt-get install nvidia-driver-470"),
    ),
    Case(
        title="programs of another version",
        needs=T4,
        machine=Machine(driver="580.95.05", smi_fails="Failed to initialize NVML: Driver/library version mismatch"),
        says=("the loaded driver is 580.95.05 and its programs are of another version", "sudo reboot"),
    ),
    Case(
        title="a driver that left the card behind",
        needs=OLD,
        machine=Machine(driver="580.95.05", smi_fails="No devices were found", bus=("102d", "102d")),
        says=(
            "driver 580.95.05 is loaded, planned: driver 470. -> sudo apt-get install nvidia-driver-470",
            "nvidia-smi says: No devices were found, planned: 2 x K80 -> sudo dmesg | grep NVRM",
        ),
    ),
    Case(
        title="a driver that is too old",
        needs=T4,
        machine=Machine(driver="535.288.01", cards=("Tesla T4",)),
        says=("driver 535.288.01 is loaded, planned: driver 550- -> sudo apt-get install nvidia-driver-550",),
    ),
    Case(
        title="another version than was installed",
        needs=INSTALLED,
        machine=Machine(driver="570.211.01", cards=("Tesla T4",)),
        says=("driver 570.211.01 is loaded, planned: driver 580. ->",),
    ),
    Case(
        title="open modules that do not know the card",
        needs=HostNeeds(cards=(M60,), least_driver=570, most_driver=580, modules="proprietary"),
        machine=Machine(driver="580.95.05", open=True, smi_fails="No devices were found", bus=("13f2",)),
        says=("the open kernel modules are loaded, planned: the proprietary ones, which alone know 1 x M60",),
    ),
    Case(
        title="proprietary modules that do not know the card",
        needs=PRO,
        machine=Machine(driver="580.95.05", smi_fails="No devices were found"),
        says=("the proprietary kernel modules are loaded, planned: the open ones", "nvidia-driver-570-open"),
    ),
    Case(
        title="one of two cards",
        needs=OLD,
        machine=Machine(**{**vars(TWO_K80), "cards": ("Tesla K80",)}),
        says=("nvidia-smi shows 1 x K80 (1 Tesla K80), planned: 2 x K80",),
    ),
    Case(
        title="other cards",
        needs=HostNeeds(cards=(K80, M60), least_driver=470, most_driver=470),
        machine=Machine(driver="470.256.02", cards=("Tesla K80", "Tesla K80", "Tesla P4")),
        says=("nvidia-smi shows 0 x M60 (2 Tesla K80, 1 Tesla P4), planned: 1 x M60",),
    ),
    Case(
        title="one of two cards on the bus, and no nvidia-smi",
        needs=OLD,
        machine=Machine(driver="470.256.02", bus=("102d", "13f2")),
        says=("the PCI bus shows 1 x K80, planned: 2 x K80",),
    ),
    Case(
        title="no container runtime on the machine",
        needs=OLD,
        machine=Machine(**{**vars(TWO_K80), "toolkit": False}),
        more={"FLEET_RUNTIME": "docker", "FLEET_MACHINE": "machine"},
        says=(f"the machine has no NVIDIA container runtime, planned: nvidia-container-toolkit -> {TOOLKIT}",),
    ),
    Case(
        title="no driver in the container",
        needs=OLD,
        machine=Machine(driver="470.256.02", bus=("102d", "102d")),
        more={"FLEET_RUNTIME": "docker"},
        says=("no driver reaches this container, nvidia-smi is not in it, planned: the NVIDIA container", TOOLKIT),
    ),
    Case(
        title="no devices of unified memory",
        needs=OLD,
        machine=Machine(**{**vars(TWO_K80), "devices": ()}),
        says=(f"/dev/nvidia-uvm is not there, planned: the devices of unified memory -> {UVM}",),
    ),
    Case(
        title="one of two devices of unified memory",
        needs=OLD,
        machine=Machine(**{**vars(TWO_K80), "devices": ("nvidia-uvm",)}),
        says=("/dev/nvidia-uvm-tools is not there",),
    ),
    Case(
        title="everything at once",
        needs=OLD,
        machine=Machine(driver="535.1.1", cards=("Tesla P4",), toolkit=False, devices=()),
        more={"FLEET_RUNTIME": "docker", "FLEET_MACHINE": "machine"},
        says=("driver 535.1.1 is loaded", "shows 0 x K80", "no NVIDIA container runtime", "/dev/nvidia-uvm is not"),
    ),
)
IDS = {"Quadro of a rebrander": "102D"}
OLLAMA = '#!/bin/sh\n[ "$1" = serve ] && touch "$HOME/served"\nexit 0\n'


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    ollama = tmp_path / "ollama"
    ollama.write_text(OLLAMA)
    ollama.chmod(0o755)
    return Pod(tmp_path / "pod", ollama)


def _program(pod: Pod, name: str, text: str) -> None:
    (pod.root / "bin" / name).write_text(f"#!/bin/sh\n{text}")
    (pod.root / "bin" / name).chmod(0o755)


def build(pod: Pod, machine: Machine) -> dict[str, str]:
    """The machine below the pod's folder, and the variables that lead there."""
    for folder in ("proc/driver/nvidia", "sys/module", "dev", "machine/usr/bin", "machine" + str(pod.root / "dev")):
        (pod.root / folder).mkdir(parents=True, exist_ok=True)
    if machine.driver:
        version = (OPEN if machine.open else CLOSED).format(machine.driver)
        (pod.root / "proc/driver/nvidia/version").write_text(f"{version}\nGCC version:  gcc version 12.2.0\n")
    if machine.nouveau:
        (pod.root / "sys/module/nouveau").mkdir()
    if machine.cards:
        lines = "".join(f"{machine.driver}, 0x{IDS.get(card, 'FFFF')}10DE, {card}\\n" for card in machine.cards)
        _program(pod, "nvidia-smi", f"printf '{lines}'\n")
    elif machine.smi_fails:
        _program(pod, "nvidia-smi", f"echo '{machine.smi_fails}'\nexit 9\n")
    _bus(pod, machine)
    for name in machine.devices:
        (pod.root / "dev" / name).touch()
        (pod.root / ("machine" + str(pod.root / "dev")) / name).touch()
    if machine.toolkit:
        (pod.root / "machine/usr/bin/nvidia-ctk").touch()
    folders = {"FLEET_PROC": "proc", "FLEET_SYS": "sys", "FLEET_DEV": "dev"}
    return {name: str(pod.root / folder) for name, folder in folders.items()}


def _bus(pod: Pod, machine: Machine) -> None:
    """What lspci says, or the tree that it reads."""
    if machine.lspci:
        lines = "".join(f"0{index}:00.0 0302: 10de:{card} (rev a1)\\n" for index, card in enumerate(machine.bus))
        _program(pod, "lspci", f"printf '{lines}'\n")
    else:
        for index, card in enumerate(machine.bus):
            device = pod.root / f"sys/bus/pci/devices/0000:0{index}:00.0"
            device.mkdir(parents=True)
            for name, text in (("vendor", "0x10de"), ("class", "0x030200"), ("device", f"0x{card}")):
                (device / name).write_text(f"{text}\n")


def run(pod: Pod, case: Case, mode: str) -> Ended:
    where = build(pod, case.machine)
    more = {name: str(pod.root / value) if name == "FLEET_MACHINE" else value for name, value in case.more.items()}
    path = f"{pod.root}/bin:/usr/bin:/bin"
    return pod.probe(mode, **verification(case.needs), **where, **more, PATH=path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_a_machine_is_as_planned_or_every_difference_is_said_with_both_values_and_what_mends_it(
    pod: Pod, case: Case
) -> None:
    found = run(pod, case, "verify")
    assert found.code == (23 if case.says else 0), found.output
    for words in case.says:
        assert words in found.output
    assert not case.says or found.message.strip() in found.output


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_a_server_starts_on_a_machine_as_planned_and_on_no_other(pod: Pod, case: Case) -> None:
    found = run(pod, case, "serve")
    assert (pod.root / "home/served").exists() is not bool(case.says), found.output
    assert found.code == (23 if case.says else 0)


def test_the_one_script_of_a_compose_file_does_the_same(pod: Pod) -> None:
    for file in (pod.root / "shell").iterdir():
        file.unlink()
    pod.script.write_text(one_script())
    by_title = {case.title: case for case in CASES}
    assert run(pod, by_title["one of two cards"], "verify").code == 23
    assert (pod.root / "bin/nvidia-smi").exists()
    assert run(pod, by_title["as planned"], "verify").code == 0
    assert "here/" not in one_script()
