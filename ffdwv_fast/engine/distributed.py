"""Several processes that train one network, each on its part of every batch.

torchrun (https://docs.pytorch.org/docs/stable/elastic/run.html) starts them and tells each by
environment variables which it is; DistributedDataParallel averages their gradients. In a process
that is alone every function here gives at once what it was given.

Two groups connect the processes: the default one, NCCL's or gloo's, for what is on the device, and
one of gloo's for what hosts have to agree on, which does not wait for a GPU.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import timedelta
from inspect import signature
from typing import NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from ffdwv_fast.data.shard import WHOLE, Shard
from ffdwv_fast.engine.weight_copies import twin_of
from ffdwv_fast.errors import InputError
from ffdwv_fast.models.resnet import BatchNorm2d

T = TypeVar("T")

VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# A process that ended is noticed at once; a run whose teacher another run trains waits long.
HOST_TIMEOUT = timedelta(days=7)
# What gloo and NCCL say of a process that has gone.
_GONE = ("connection closed", "connection reset", "connection refused", "broken pipe", "nccl")
# Whether to copy rank 0's buffers in every step; torch 2.13 has given it another name.
_BUFFERS = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in signature(DistributedDataParallel).parameters
)

# What nn.SyncBatchNorm can stand for.
_SYNCHRONISED = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, BatchNorm2d)

_hosts: dist.ProcessGroup | None = None  # None: this process is alone


class Launch(NamedTuple):
    """What torchrun says of a process.

    Attributes:
        rank: among all, from 0.
        size: how many there are.
        local_rank: among those of its machine, from 0.
    """

    rank: int
    size: int
    local_rank: int


def launch() -> Launch | None:
    """How torchrun has started this process; None if it has not, or no other one beside it.

    Raises:
        InputError: its variables are there and make no sense.
    """
    found = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    if len(found) < len(VARIABLES):
        return None
    try:
        rank, local_rank, size = (int(found[name]) for name in VARIABLES[:3])
    except ValueError:
        rank, local_rank, size = -1, -1, 0
    if not (0 <= rank < size and 0 <= local_rank < size):
        values = ", ".join(f"{name}={found[name]}" for name in VARIABLES[:3])
        raise InputError(f"{values}: not what torchrun sets; unset them, or start with torchrun")
    return Launch(rank, size, local_rank) if size > 1 else None


def restarts() -> tuple[int, int]:
    """How often torchrun has restarted the processes, and how often it would."""
    names = ("TORCHELASTIC_RESTART_COUNT", "TORCHELASTIC_MAX_RESTARTS")
    done, most = (int(os.environ.get(name, "0")) for name in names)
    return done, most


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Within, the processes that torchrun has started are one run; rank 0 alone prints to stdout.

    Within another one it does nothing.

    Args:
        device: of the run: the CPU, or "cuda", of which each process takes one.

    Raises:
        InputError: a GPU by number, or fewer GPUs than processes on this machine.
    """
    global _hosts
    started = launch()
    if started is None or _hosts is not None:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(_own_gpu(device, started.local_rank))
    others_are_there = False
    try:
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=_meeting_place(),
            rank=started.rank,
            world_size=started.size,
        )
        _hosts = dist.new_group(backend="gloo", timeout=HOST_TIMEOUT)
        with _quiet_unless_first():
            yield
        others_are_there = True
    except SystemExit:  # all have stopped together
        others_are_there = True
        raise
    except InputError as error:
        raise InputError(f"process {started.rank} of {started.size}: {error}") from None
    except RuntimeError as error:
        if not any(sign in str(error).lower() for sign in _GONE):
            raise
        raise SystemExit(
            f"process {started.rank} of {started.size} ends, as another one has"
        ) from None
    finally:
        if others_are_there:  # else it would wait for them
            dist.destroy_process_group()
        _hosts = None


def rank() -> int:
    """This process's number, from 0."""
    return 0 if _hosts is None else dist.get_rank()


def world_size() -> int:
    """How many processes there are."""
    return 1 if _hosts is None else dist.get_world_size()


def is_first() -> bool:
    """Whether this is the process that writes and prints."""
    return rank() == 0


def shard() -> Shard:
    """This process's part of every batch."""
    return WHOLE if _hosts is None else Shard(rank(), world_size())


def own_device(device: torch.device) -> torch.device:
    """This process's device where the run's is "cuda" or the CPU."""
    if _hosts is None or device.type == "cpu":
        return device
    return torch.device("cuda", torch.cuda.current_device())


def barrier() -> None:
    """Wait until every process is here."""
    largest([0])


def of_first(value: T) -> T:
    """What rank 0 gives; the others' is ignored."""
    if _hosts is None:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0, group=_hosts)
    return values[0]


def largest(values: Sequence[int]) -> list[int]:
    """Of each of these the largest that any process has."""
    if _hosts is None:
        return list(values)
    tensor = torch.tensor(values)
    dist.all_reduce(tensor, dist.ReduceOp.MAX, group=_hosts)
    return tensor.tolist()


def summed(tensor: Tensor) -> Tensor:
    """The sum over the processes."""
    if _hosts is None:
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total


def gathered(tensor: Tensor) -> Tensor:
    """All processes' [...] as [processes, ...]."""
    if _hosts is None:
        return tensor[None]
    parts = [torch.empty_like(tensor) for _ in range(world_size())]
    dist.all_gather(parts, tensor)
    return torch.stack(parts)


def assembled(own: Tensor, positions: Tensor, length: int) -> Tensor:
    """A tensor [length, ...] of which each process has the rows at some positions, on all.

    Args:
        own: this process's rows.
        positions: int64, where they belong; of all processes together each position once.
        length: rows of all together.
    """
    if _hosts is None:
        return own
    whole = own.new_zeros(length, *own.shape[1:])
    whole[positions.to(own.device)] = own
    dist.all_reduce(whole)  # x + 0 is x
    return whole


def copy_from_first(tensors: Iterable[Tensor]) -> None:
    """Overwrite them with rank 0's."""
    if _hosts is not None:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)


def loss_weight(own: int, images: int) -> float:
    """What to multiply the mean loss over a process's images by, before gradients are averaged.

    The average over N processes of N own / images times a mean over own images is the mean over
    all images, whatever the parts' sizes. Without images a process has no loss; then it is 1.

    Args:
        own: images of this process in the batch.
        images: of all processes.
    """
    return world_size() * own / images if own else 1.0


def parallel(network: nn.Module, sync_batch_norm: bool) -> nn.Module:
    """What computes as a network does, its gradients being averaged over the processes.

    Parameters and buffers are the network's own, and rank 0's from now on. Running statistics stay
    each process's: batch normalisation in training does not read them.

    Args:
        network: on its device.
        sync_batch_norm: whether batch normalisation in training takes its statistics over the
            images of all processes.

    Raises:
        InputError: the network's batch normalisation cannot be synchronised.
    """
    if _hosts is None:
        return network
    if sync_batch_norm:
        network = _synchronised(network)
    device = next(network.parameters()).device
    gpus = [device.index] if device.type == "cuda" else None
    return DistributedDataParallel(network, device_ids=gpus, **{_BUFFERS: False})


def _synchronised(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, _BatchNorm) and type(module) not in _SYNCHRONISED:
            raise InputError(
                f"--sync-batch-norm does not go with this network, as its {type(module).__name__} "
                "does more than normalise; leave it out"
            )
    return nn.SyncBatchNorm.convert_sync_batchnorm(twin_of(network).train())


def _own_gpu(device: torch.device, local_rank: int) -> torch.device:
    if device.index is not None:
        raise InputError(
            f"--device {device} is one GPU, and each process takes one of its own; use --device "
            "cuda, and CUDA_VISIBLE_DEVICES to choose among them"
        )
    count = torch.cuda.device_count()
    if local_rank >= count:
        raise InputError(
            f"torchrun started a process {local_rank} on this machine, which has {count} GPUs; use "
            f"--nproc-per-node {count}"
        )
    return torch.device("cuda", local_rank)


def _meeting_place() -> dist.Store:
    """Where the processes learn each other's addresses.

    By default torchrun keeps one store for all its restarts, in which the addresses of processes
    that have ended would be found (seen in torch 2.13). On one machine all are of the same
    restart, so that its number tells old from new; on several each counts its own.
    """
    restart, most = restarts()
    store, _, _ = next(rendezvous("env://"))
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True" or not most:
        return store
    if os.environ.get("LOCAL_WORLD_SIZE") != os.environ["WORLD_SIZE"]:
        raise InputError(
            f"torchrun --max-restarts {most} on several machines needs, on each, the environment "
            "variable TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1; set it, or use --max-restarts 0"
        )
    return dist.PrefixStore(f"restart {restart}", store)


@contextmanager
def _quiet_unless_first() -> Iterator[None]:
    if is_first():
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        yield
