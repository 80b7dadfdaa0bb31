"""Measuring all contenders of one case of the loss benchmark."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.cuda_timing import DeviceTimer, one_stream
from benchmarks.loss_contenders import BASELINES, CONTENDERS, WORKLOADS, Contender, Step
from benchmarks.loss_inputs import Case, Inputs, bytes_of_a_call, make_sets, not_a_leaf
from benchmarks.timing import CallTimer, Limits, Rotation, interleave, ratios, spread

COPY = "copy"
IN_FLOAT32 = ", float32"  # after the name of a contender that is timed in both dtypes

# ||grad - reference|| / ||reference||; the reference is float64. What PyTorch itself computes in
# bfloat16 rounds at every step.
WORST_ERROR = {
    torch.float64: 1e-10,
    torch.float32: 1e-4,
    torch.float16: 1e-2,
    torch.bfloat16: 5e-2,
}

_SETS_WHOSE_BYTES_ARE_COUNTED = 16
_SETS_OF_THE_WARM_UP = 64


class Runner(NamedTuple):
    """A contender that runs.

    Attributes:
        step: forward and backward pass.
        sets: its inputs.
        error: relative, of its loss and gradient.
        capturable: whether it can be part of a CUDA graph.
    """

    step: Step
    sets: Sequence[Inputs]
    error: float | None
    capturable: bool = True


def measure(case: Case, limits: Limits) -> tuple[list[dict[str, object]], dict[str, str]]:
    """Time all contenders of a case.

    Returns:
        rows: one per contender, for JSON.
        absent: why a contender has no row, by name.
    """
    with one_stream(case.device):
        workload = WORKLOADS[case.workload]
        sets = make_sets(case, workload.similarity, workload.teacher, limits.tiny)
        runners, absent = _runners(case, sets)
        counted = [bytes_of_a_call(inputs) for inputs in sets[:_SETS_WHOSE_BYTES_ARE_COUNTED]]
        moved = sum(counted) // len(counted)
        runners[COPY] = _copy(moved, len(sets), case.device)
        timed = {**runners, **_in_float32(case, runners, limits)}
        clocks = {"call": _call_clock(case, timed, limits)}
        if case.device.type == "cuda":
            clocks["device"] = _device_clock(case, timed, limits)
    rows = [_row(case, name, runner, moved, clocks) for name, runner in runners.items()]
    return rows, absent


def _runners(case: Case, sets: list[Inputs]) -> tuple[dict[str, Runner], dict[str, str]]:
    reference = _reference(case, sets[0])
    runners, absent = {}, {}
    for contender in CONTENDERS:
        if case.workload not in contender.workloads:
            continue
        reason = contender.missing(case.device)
        if reason is None:
            runner = _runner(contender, case, sets, reference)
            if isinstance(runner, Runner):
                runners[contender.name] = runner
                continue
            reason = runner
        absent[contender.name] = reason
    return runners, absent


def _in_float32(case: Case, runners: Mapping[str, Runner], limits: Limits) -> dict[str, Runner]:
    """This package's contenders once more on float32 logits, to compare the two in one run."""
    if case.dtype.itemsize >= torch.float32.itemsize:
        return {}
    single, workload = case._replace(dtype=torch.float32), WORKLOADS[case.workload]
    sets = make_sets(single, workload.similarity, workload.teacher, limits.tiny)
    reference = _reference(single, sets[0])
    own = [c for c in CONTENDERS if c.ours and c.name in runners]
    return {f"{c.name}{IN_FLOAT32}": _runner(c, single, sets, reference) for c in own}


def _runner(
    contender: Contender, case: Case, sets: list[Inputs], reference: tuple[Tensor, Tensor]
) -> Runner | str:
    """The contender, checked and warmed up, or why it does not run here."""
    own = _copies(sets) if contender.overwrites else sets
    try:
        step = contender.make(WORKLOADS[case.workload])
        error = _error(step, own[0], reference)
        for inputs in own[:_SETS_OF_THE_WARM_UP]:
            step(inputs)
    except Exception as failure:
        if contender.ours or contender.name == "eager":
            raise
        return f"{type(failure).__name__}: {(str(failure).strip().splitlines() or [''])[0]}"
    if not error <= WORST_ERROR[case.dtype]:  # NaN too
        raise RuntimeError(
            f"{contender.name}, {case.workload}, {case.rows} x {case.classes} {case.dtype}: "
            f"loss or gradient is off by {error:.2g}; it is not the same loss, and was not timed"
        )
    return Runner(step, own, error, contender.capturable)


def _copies(sets: list[Inputs]) -> list[Inputs]:
    return [inputs._replace(logits=not_a_leaf(inputs.logits.detach().clone())) for inputs in sets]


def _reference(case: Case, inputs: Inputs) -> tuple[Tensor, Tensor]:
    logits = inputs.logits.detach().double().requires_grad_()
    _, labels, similarity, teacher = inputs
    if similarity is not None:
        expanded = similarity.stride(0) == 0  # .double() would write out every row
        rows = similarity[:1] if expanded else similarity
        similarity = rows.double().expand(similarity.shape)
    teacher = None if teacher is None else teacher.double()
    loss = WORKLOADS[case.workload].formula(logits, labels, similarity, teacher)
    (grad,) = torch.autograd.grad(loss, logits)
    return loss.detach(), grad


def _error(step: Step, inputs: Inputs, reference: tuple[Tensor, Tensor]) -> float:
    """The larger of the relative errors of loss and gradient."""
    grads: list[Tensor] = []
    hook = inputs.logits.register_hook(grads.append)
    loss = step(inputs)
    hook.remove()
    found = (loss.detach().double(), grads[0].double())
    errors = [(a - b).norm() / b.norm() for a, b in zip(found, reference, strict=True)]
    return float(torch.stack(errors).max())


def _copy(size: int, count: int, device: torch.device) -> Runner:
    """A copy that reads and writes as many bytes in all as the loss has to move."""
    half = max(1, size // 8)  # of float32
    buffers = torch.randn(count, 2, half, device=device)
    sets = [Inputs(target, source, None, None) for target, source in buffers]
    return Runner(lambda inputs: inputs[0].copy_(inputs[1]), sets, None)


def _call_clock(
    case: Case, runners: Mapping[str, Runner], limits: Limits
) -> dict[str, dict[str, object]]:
    def synchronize() -> None:
        if case.device.type == "cuda":
            torch.cuda.synchronize(case.device)

    rotations: dict[int, Rotation[Inputs]] = {}
    timers = {}
    for name, runner in runners.items():
        rotation = rotations.setdefault(id(runner.sets), Rotation(runner.sets))
        timers[name] = CallTimer(runner.step, rotation, synchronize)
    return _sampled(timers, limits, lambda timer: {"calls_per_sample": timer.calls})


def _device_clock(
    case: Case, runners: Mapping[str, Runner], limits: Limits
) -> dict[str, dict[str, object]]:
    timers = {
        name: DeviceTimer(
            runner.step,
            runner.sets,
            _keep_nothing if name == COPY else _keep_gradient,
            case.device,
            runner.capturable,
        )
        for name, runner in runners.items()
    }
    return _sampled(timers, limits, lambda t: {"method": t.method, "reason": t.reason})


def _sampled(
    timers: Mapping[str, CallTimer | DeviceTimer],
    limits: Limits,
    describe: Callable[[CallTimer | DeviceTimer], dict[str, object]],
) -> dict[str, dict[str, object]]:
    samples = {name: timer.sample for name, timer in timers.items()}
    found = interleave(samples, limits.rounds, limits.seconds)
    return {
        name: {
            **describe(timer),
            "others": found.others,
            "discarded": found.discarded,
            "samples": found.samples[name],
        }
        for name, timer in timers.items()
    }


def _keep_gradient(inputs: Inputs, kept: list):
    return inputs.logits.register_hook(kept.append).remove


def _keep_nothing(_inputs: Inputs, _kept: list):
    return lambda: None


def _row(
    case: Case, name: str, runner: Runner, moved: int, clocks: Mapping[str, Mapping]
) -> dict[str, object]:
    row: dict[str, object] = {
        "loss": case.workload,
        "dtype": str(case.dtype).removeprefix("torch."),
        "rows": case.rows,
        "classes": case.classes,
        "contender": name,
        "sets": len(runner.sets),
        "cached": case.cached,
        "bytes": moved,
        "error": runner.error,
    }
    for clock, by_name in clocks.items():
        row[clock] = _timed(name, by_name)
    clock = "device" if "device" in clocks else "call"
    by_name = clocks[clock]
    row["gb_per_s"] = moved / row[clock]["us"]["median"] / 1e3
    row["of_copy"] = spread(ratios(by_name[COPY]["samples"], by_name[name]["samples"])).median
    return row


def _timed(name: str, by_name: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """Medians and quartiles by one clock: microseconds, and the times that baselines take."""
    own = by_name[name]
    seconds = own["samples"]
    timed = {
        **{key: value for key, value in own.items() if key != "samples"},
        "rounds": len(seconds),
        "us": spread([s * 1e6 for s in seconds])._asdict(),
    }
    others = {baseline: baseline for baseline in BASELINES} | {"float32": f"{name}{IN_FLOAT32}"}
    for key, other in others.items():
        if other in by_name and name != COPY:
            faster = spread(ratios(by_name[other]["samples"], seconds))
            timed[f"times_{key}"] = faster._asdict()
    return timed | {"samples_us": [round(s * 1e6, 3) for s in seconds]}
