"""python -m benchmarks.step_profile: where the time of a training step goes, kernel by kernel.

On a GPU kernels are counted, on a CPU aten's operators by their own time. Beside them stands how
long the least traffic of the activations would take at the bandwidth of a copy measured here.
"""

import re
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.command_line import (
    Benchmark,
    add_common_options,
    device_of,
    listed,
    run_cases,
)
from benchmarks.images import SIZE, TINY_SIZE, add_data_option, dataset_of
from benchmarks.results import number, table
from benchmarks.step import batches
from benchmarks.step_contenders import (
    AMP_STEP,
    CHANNELS,
    CLASSES,
    CONTENDERS,
    Case,
    Contender,
    asked_cases,
)
from benchmarks.timing import spread
from ffdwv_fast.command import ArgumentParser, positive_int, run_command
from ffdwv_fast.data.dataset import Dataset
from ffdwv_fast.errors import InputError
from ffdwv_fast.models import MODELS

STEPS, TINY_STEPS = 8, 2
WARM_UP = 3
COPY_BYTES, TINY_COPY_BYTES = 1 << 29, 1 << 20
COPIES = 5
TOP = 15

# The first that is found in a kernel's name, in lower case, is its group.
GROUPS = {
    "autograd's bookkeeping": r"autograd::|backward0|backward1",
    "copies and casts": r"copy|memcpy|memset|fill|zero_|tonhwc|tonchw|transpose|reorder",
    "batch normalisation": r"batch_norm|batchnorm|bn_(fw|bw)",
    "loss": r"ffdwv|softmax|nll_loss|kl_div|cross_entropy",
    "optimizer": r"sgd|multi_tensor|foreach",
    "convolution": r"conv|cudnn|cutlass|gemm|fprop|dgrad|wgrad|winograd|addmm|::mm",
    "reduction": r"reduce|sum|mean|argmax",
    "elementwise": r"elementwise|relu|threshold|add|mul|div|clamp|pad|slice_backward|triton_poi",
}
OTHER = "other"

# How often a step reads or writes each element that a convolution gives.
PASSES = {
    # Forward: convolution 2, normalisation 3, ReLU 2, every second one's addition 3. Backward:
    # ReLU 3, normalisation 5, both convolutions' gradients 4, every second one's addition 3.
    "every operator on its own": 2 + 3 + 2 + 1.5 + 3 + 5 + 4 + 1.5,
    # ReLU and addition in the passes of the normalisation, whose backward also reads the output.
    "pointwise operators fused": 2 + 3 + 0.5 + 7 + 4 + 0.5,
    # Normalisation, ReLU and addition within the convolutions, statistics in their epilogue.
    "all within the convolutions": 2 + 0.5 + 5,
}


class Kernel(NamedTuple):
    """A line of the profile.

    Attributes:
        name: of a kernel or operator.
        group: in GROUPS, or OTHER.
        calls: in a step.
        us: in a step, all calls together.
    """

    name: str
    group: str
    calls: float
    us: float


def group_of(name: str) -> str:
    """What a kernel is for, judged by its name."""
    found = (group for group, words in GROUPS.items() if re.search(words, name.lower()))
    return next(found, OTHER)


def activation_elements(model: str, size: int) -> int:
    """How many elements all convolutions of a network give for one image of size x size."""
    counted = []
    with torch.device("meta"):
        network = MODELS[model](CLASSES, in_channels=CHANNELS)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(lambda _m, _i, output: counted.append(output.numel()))
        network(torch.empty(1, CHANNELS, size, size))
    return sum(counted)


def limits(
    case: Case, size: int, item_size: int, bytes_per_second: float
) -> list[dict[str, object]]:
    """The least traffic of the activations at each degree of fusion, and what it takes."""
    elements = activation_elements(case.model, size)
    return [
        {
            "fusion": name,
            "mb_per_image": passes * elements * item_size / 1e6,
            "ms": 1e3 * case.batch_size * passes * elements * item_size / bytes_per_second,
        }
        for name, passes in PASSES.items()
    ]


def copy_speed(device: torch.device, size: int) -> float:
    """Bytes that a copy reads and writes per second, the median of five."""
    source, target = torch.ones(2, size // 4, device=device)
    seconds = [_seconds(lambda: target.copy_(source), device) for _ in range(COPIES + 1)]
    return 2 * size / spread(seconds[1:]).median


def kernels(take_steps: Callable[[], object], steps: int, device: torch.device) -> list[Kernel]:
    """The profile of some steps, the longest first."""
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as profiled:
        take_steps()
        _wait(device)
    kind = DeviceType.CUDA if on_gpu else DeviceType.CPU
    found = []
    for event in profiled.key_averages():
        us = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        # An annotation, such as that of an optimizer's step, covers kernels that count themselves.
        if event.device_type == kind and us > 0 and not event.is_user_annotation:
            kernel = Kernel(event.key, group_of(event.key), event.count / steps, us / steps)
            found.append(kernel)
    return sorted(found, key=lambda kernel: -kernel.us)


def measure(
    case: Case, dataset: Dataset, contender: Contender, tiny: bool
) -> tuple[list[dict[str, object]], dict[str, str]]:
    """The profile of a case as one row, or why there is none."""
    reason = contender.missing(case.device)
    if reason is not None:
        return [], {contender.name: reason}
    steps = TINY_STEPS if tiny else STEPS
    step = contender.make(case).step
    several = batches(case, dataset, contender.channels_last, min(steps, 4))

    def take(count: int) -> None:
        for i in range(count):
            step(several[i % len(several)])

    take(WARM_UP)
    seconds = _seconds(lambda: take(steps), case.device) / steps
    found = kernels(lambda: take(steps), steps, case.device)
    speed = copy_speed(case.device, TINY_COPY_BYTES if tiny else COPY_BYTES)
    size, item_size = TINY_SIZE if tiny else SIZE, 2 if contender.in_bf16(case.device) else 4
    row = {
        "model": case.model,
        "batch_size": case.batch_size,
        "step": contender.name,
        "ms": 1e3 * seconds,
        "kernels_ms": sum(kernel.us for kernel in found) / 1e3,
        "launches": sum(kernel.calls for kernel in found),
        "groups_ms": groups_ms(found),
        "kernels": [kernel._asdict() for kernel in found],
        "copy_gb_per_s": speed / 1e9,
        "limits": limits(case, size, item_size, speed),
    }
    return [row], {}


def groups_ms(found: Sequence[Kernel]) -> dict[str, float]:
    """Milliseconds of a step by group, the longest first."""
    sums = dict.fromkeys([*GROUPS, OTHER], 0.0)
    for kernel in found:
        sums[kernel.group] += kernel.us / 1e3
    return dict(sorted(sums.items(), key=lambda item: -item[1]))


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def lines(found: dict[str, object]) -> list[str]:
    """Three small tables for each case, and notes."""
    printed = [line for row in found["rows"] for line in _lines_of(row)]
    return [*printed, *(f"not here: {name}, {why}" for name, why in found["absent"].items())]


def _lines_of(row: dict[str, object]) -> list[str]:
    total = 1e3 * row["kernels_ms"]
    by_group = [
        (name, number(ms), f"{100e3 * ms / total:.1f} %") for name, ms in row["groups_ms"].items()
    ]
    by_kernel = [
        (
            k["name"][:60],
            k["group"],
            f"{k['calls']:g}",
            number(k["us"]),
            f"{100 * k['us'] / total:.1f} %",
        )
        for k in row["kernels"][:TOP]
    ]
    by_limit = [
        (
            one["fusion"],
            number(one["mb_per_image"]),
            number(one["ms"]),
            f"{100 * one['ms'] / row['ms']:.0f} %",
        )
        for one in row["limits"]
    ]
    return [
        f"{row['model']}, batch {row['batch_size']}, {row['step']}: {number(row['ms'])} ms a step, "
        f"{number(row['kernels_ms'])} ms of them in {row['launches']:.0f} kernels or operators",
        *table(("group", "ms", "share"), by_group),
        "",
        *table(("kernel or operator", "group", "calls", "us", "share"), by_kernel),
        "",
        *table(("traffic of the activations", "MB/image", "ms", "of the step"), by_limit),
        f"at the {number(row['copy_gb_per_s'])} GB/s of a copy measured here",
        "",
    ]


def parser() -> ArgumentParser:
    """The command's options."""
    p = ArgumentParser(
        prog="python -m benchmarks.step_profile", description=__doc__.splitlines()[0]
    )
    p.add_argument("--models", type=listed(str), default="resnet32", help="several: by commas")
    p.add_argument("--batch-sizes", type=listed(positive_int), default="128", help="several")
    p.add_argument(
        "--step",
        metavar="NAME",
        help="a line of benchmarks.step (default: what train --amp runs on the device)",
    )
    add_data_option(p)
    add_common_options(p, None)
    return p


def main(argv: list[str] | None) -> None:
    """Run the command."""
    options = parser().parse_args(argv)
    device = device_of(options)
    name = options.step or AMP_STEP[device.type]
    if name not in CONTENDERS:
        raise InputError(f"--step: no {name!r}; there are: {'; '.join(CONTENDERS)}")
    asked = asked_cases(options.models, options.batch_sizes, device, options.tiny)
    dataset = dataset_of(options)
    benchmark = Benchmark(
        ("Where the time of a training step goes. Being profiled slows kernels down a little.",),
        lambda case: f"{case.model}, batch {case.batch_size}",
        lambda case: measure(case, dataset, CONTENDERS[name], options.tiny),
        lines,
    )
    run_cases(benchmark, asked, device, options.json)


if __name__ == "__main__":
    run_command(main)
