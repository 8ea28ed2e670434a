"""What NVIDIA's DCGM exporter is asked for: the figures of the GPUs' own that the dashboard of GPUs shows."""

USE = "DCGM_FI_DEV_GPU_UTIL"
MEMORY_USED, MEMORY_FREE = "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE"
TEMPERATURE = "DCGM_FI_DEV_GPU_TEMP"
POWER = "DCGM_FI_DEV_POWER_USAGE"
CLOCK = "DCGM_FI_DEV_SM_CLOCK"
FAULT = "DCGM_FI_DEV_XID_ERRORS"

COUNTERS = {
    USE: "GPU use (in %).",
    MEMORY_USED: "GPU memory used (in MiB).",
    MEMORY_FREE: "GPU memory free (in MiB).",
    TEMPERATURE: "GPU temperature (in C).",
    POWER: "Power draw (in W).",
    CLOCK: "Clock of the multiprocessors (in MHz).",
    FAULT: "The last XID error.",
}
"""Every card of the catalogue has them; the profiling figures, which cards before Volta lack, are left out."""


def counters() -> str:
    """The file of the exporter's option --collectors."""
    return "".join(f"{name}, gauge, {title}\n" for name, title in COUNTERS.items())
