"""The header of a result: what it was measured with."""

import os
import platform
import re
import shlex
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import torch

from ffdwv_fast.build import build_info
from ffdwv_fast.engine.environment import hardware, versions
from ffdwv_fast.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
UNKNOWN = "unknown"

_RESULTS = ":!benchmarks/results"  # writing a result does not make the measured tree another one
_LIKELY_CACHE = 32 << 20


def chosen_device(name: str) -> torch.device:
    """The device of `--device`.

    Raises:
        InputError: it is "cuda" and there is no GPU that torch can use.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"--device cuda: torch {torch.__version__} finds no GPU here; use --device cpu, or a "
            "machine with an NVIDIA driver and a CUDA build of torch"
        )
    return torch.device(name)


def header(device: torch.device, commit: str | None = None) -> dict[str, object]:
    """Versions, hardware, date, commit and command line; nothing that names the machine's owner.

    Args:
        device: what is measured.
        commit: the commit that was measured, for a copy of the tree without git; None asks git.
    """
    known = versions()
    found: dict[str, object] = {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "ffdwv_fast": known.get("ffdwv_fast", build_info().get("version", UNKNOWN)),
        **_commit(commit),
        "python": known["python"],
        "torch": torch.__version__,
        **hardware(device),
        "cores": len(os.sched_getaffinity(0)),
        "last_level_cache_mib": round(last_level_cache(device) / 2**20, 1),
    }
    if device.type == "cuda":
        found |= _cuda(device)
    return found | {"command": shlex.join(["python", *_arguments()])}


def header_lines(found: dict[str, object]) -> list[str]:
    """The header for people."""
    dirty = {True: ", with changes", False: "", UNKNOWN: ""}[found["dirty"]]
    lines = [
        f"{found['date']}  {found['command']}",
        f"ffdwv_fast {found['ffdwv_fast']} (commit {str(found['commit'])[:12]}{dirty}), "
        f"torch {found['torch']}, Python {found['python']}",
        f"CPU: {found['cpu']}, {found['cores']} cores, {found['torch_threads']} threads",
    ]
    if "gpu" in found:
        lines.append(
            f"GPU: {found['gpu']}, {found['gpu_memory_gib']} GiB, compute capability "
            f"{found['capability']}, driver {found['driver']}, CUDA {found['cuda']}"
        )
    lines.append(f"last-level cache: {found['last_level_cache_mib']} MiB")
    return lines


def last_level_cache(device: torch.device) -> int:
    """Bytes of the largest cache before memory; 32 MiB where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).L2_cache_size
    sizes = [
        int(path.read_text().strip().removesuffix("K")) << 10
        for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    ]
    return max(sizes, default=_LIKELY_CACHE)


def folder_name(device: torch.device) -> str:
    """DATE-GPUNAME, or DATE-cpu."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return f"{datetime.now():%Y-%m-%d}-{slug}"


def _arguments() -> list[str]:
    module = sys.modules["__main__"].__spec__
    name = ["-m", module.name.removesuffix(".__main__")] if module else [Path(sys.argv[0]).name]
    return [*name, *sys.argv[1:]]


def _commit(given: str | None) -> dict[str, object]:
    if given is not None:
        return {"commit": given, "dirty": UNKNOWN}
    commit = _output("git", "rev-parse", "HEAD")
    if commit is None:
        return {"commit": UNKNOWN, "dirty": UNKNOWN}
    return {"commit": commit, "dirty": _output("git", "status", "--short", ".", _RESULTS) != ""}


def _cuda(device: torch.device) -> dict[str, object]:
    properties = torch.cuda.get_device_properties(device)
    query = ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    driver = _output(*query)
    return {
        "cuda": torch.version.cuda,
        "driver": driver.splitlines()[0] if driver else UNKNOWN,
        "capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "machine": platform.machine(),
    }


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
