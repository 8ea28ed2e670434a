"""What containers beside Ollama and the door ask for: drivers, NVIDIA's device plugin, KEDA."""

from infra.plan.memory import MIB
from infra.plan.model import Asked

DRIVER_INSTALLER = Asked(cpu=150)
DRIVER_VERIFIER = Asked(cpu=10, memory=16 * MIB)
DRIVER_PAUSE = Asked(cpu=1, memory=4 * MIB)
DRIVER_CONTAINER = Asked(cpu=100, memory=256 * MIB)
DEVICE_PLUGIN = Asked(cpu=10, memory=64 * MIB)
KEDA_OPERATOR = Asked(cpu=50, memory=128 * MIB, memory_limit=512 * MIB)
KEDA_METRICS = Asked(cpu=25, memory=64 * MIB, memory_limit=256 * MIB)
