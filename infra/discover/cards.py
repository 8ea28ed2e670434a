"""Which GPU of the catalogue a machine's name or id for a card stands for."""

import re

from infra.catalogue.types import Catalogue


def by_product(catalogue: Catalogue, product: str) -> str:
    """By the name that nvidia-smi or GPU feature discovery gives it (`Tesla K80`, `Tesla-K80`); empty if unknown."""
    plain = product.removesuffix("-SHARED").replace("-", " ").strip()
    for name, gpu in catalogue.gpus.items():
        if gpu.card is not None and re.fullmatch(gpu.card.product.replace("-", " "), plain):
            return name
    return ""


def by_pci(catalogue: Catalogue, device: str) -> str:
    """By its PCI device id below NVIDIA's 10de; the smaller card where two have one id; empty if unknown."""
    return next((name for name, gpu in catalogue.gpus.items() if gpu.card and device in gpu.card.pci), "")
