"""What a result was made with: versions and hardware."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = ("ffdwv_fast", "torch", "nvidia-dali-cuda130", "gensim", "numpy", "timm")


def versions() -> dict[str, str]:
    """Version numbers of Python and of the packages that are installed."""
    installed = {name: _version(name) for name in PACKAGES}
    found = {name: number for name, number in installed.items() if number is not None}
    return {"python": platform.python_version(), **found}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def hardware(device: torch.device) -> dict[str, object]:
    """The processor, torch's threads and, for a CUDA device, the GPU."""
    found: dict[str, object] = {
        "cpu": _cpu_name(),
        "torch_threads": torch.get_num_threads(),
        "device": str(device),
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found["gpu"] = properties.name
        found["gpu_memory_gib"] = round(properties.total_memory / 2**30, 1)
    return found


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
