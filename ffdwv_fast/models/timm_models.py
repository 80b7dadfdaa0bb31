"""Networks of timm (https://github.com/huggingface/pytorch-image-models), untrained.

timm can download weights; here it never does. So a name has no tag (resnet18.a1_in1k), which tells
weights apart and nothing else.
"""

import importlib.util
from difflib import get_close_matches
from functools import lru_cache
from types import ModuleType

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ffdwv_fast.errors import InputError, first_line
from ffdwv_fast.models.resnet import BatchNorm2d

SIMILAR_NAMES = 3
CHANNELS_OF_ONEDNN = 8  # that it takes at once


def refuse_unknown(name: str) -> None:
    """Raise InputError, which begins with timm:NAME, unless timm has a network of that name."""
    known = _timm(name).list_models()
    if name in known:
        return
    plain, dot, _ = name.partition(".")
    if dot and plain in known:
        raise InputError(
            f"'timm:{name}': a tag names weights, and none are downloaded; use timm:{plain}, and "
            "--pretrained FILE for weights that you have"
        )
    similar = [f"timm:{other}" for other in get_close_matches(name, known, SIMILAR_NAMES)]
    advice = f"did you mean {' or '.join(similar)}?" if similar else "see timm.list_models()"
    raise InputError(f"'timm:{name}' is unknown: timm has no such network; {advice}")


def make(
    name: str,
    num_classes: int,
    image_shape: tuple[int, int, int],
    channels_last: bool,
    skip_counters: bool,
) -> nn.Module:
    """A network of a name that is known, as `make_model`: timm's own module."""
    timm = _timm(name)
    channels, *size = image_shape
    options = {"num_classes": num_classes, "in_chans": channels}
    if timm.get_pretrained_cfg(name).fixed_input_size:  # else it takes images of any size
        options["img_size"] = tuple(size)
    try:
        network = timm.create_model(name, pretrained=False, **options)
    except Exception as error:  # of whatever kind that network's code fails with
        raise InputError(
            f"timm:{name} cannot be made for images of {' x '.join(map(str, image_shape))} "
            f"({first_line(error)}); use another network"
        ) from None
    if skip_counters:
        _leave_batches_uncounted(network)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    _spare_onednn(network)
    return network


def _timm(name: str) -> ModuleType:
    if importlib.util.find_spec("timm") is None:
        raise InputError(f"'timm:{name}': timm is not installed: pip install 'ffdwv_fast[timm]'")
    try:
        import timm
    except (ImportError, RuntimeError) as error:
        raise InputError(
            f"'timm:{name}': timm cannot be imported ({first_line(error)}); install the "
            f"torchvision that was made for torch {torch.__version__}"
        ) from None
    return timm


def _spare_onednn(network: nn.Module) -> None:
    """Keep channels-last memory from strided 1x1 convolutions of few channels.

    On a CPU their backward pass then writes beyond its memory (seen in torch 2.13).
    """
    for module in network.modules():
        if (
            isinstance(module, nn.Conv2d)
            and module.kernel_size == (1, 1)
            and max(module.stride) > 1
            and module.in_channels < CHANNELS_OF_ONEDNN
        ):
            weight = module.weight
            # Not `contiguous`, to which all memory formats of a 1x1 kernel are the same.
            weight.data = weight.data.reshape(-1).view(weight.shape)
            module.register_forward_pre_hook(_contiguous)


def _contiguous(_: nn.Module, inputs: tuple[torch.Tensor]) -> torch.Tensor:
    return inputs[0].contiguous()


def _leave_batches_uncounted(network: nn.Module) -> None:
    """See `BatchNorm2d`; a module without a momentum needs its count and keeps it."""
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.momentum is not None:
            module.__class__ = _uncounted(type(module))


@lru_cache
def _uncounted(kind: type[nn.Module]) -> type[nn.Module]:
    """A kind of batch normalisation whose `forward` finds no counter; state dicts have it."""
    if kind is nn.BatchNorm2d:
        return BatchNorm2d
    return type(kind.__name__, (kind,), {"num_batches_tracked": None, "__doc__": kind.__doc__})
