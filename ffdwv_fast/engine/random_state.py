"""The states of all global random generators.

Training draws from none of them: order and augmentation are functions of seed and epoch. A network
or loss of the user's may.
"""

import random

import numpy as np
import torch
from torch import Tensor


def random_state(device: torch.device) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Those of Python, NumPy, torch and, for a GPU, that device: tensors, and what JSON holds."""
    tensors = {"random.torch": torch.get_rng_state()}
    if device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(device)
    kind, keys, *rest = np.random.get_state()
    version, internal, gauss = random.getstate()
    return tensors, {
        "numpy": [kind, keys.tolist(), *rest],
        "python": [version, list(internal), gauss],
    }


def restore_random_state(
    tensors: dict[str, Tensor], state: dict[str, object], device: torch.device
) -> None:
    """Set them to what `random_state` has given for a device of the same kind."""
    torch.set_rng_state(tensors["random.torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(tensors["random.cuda"], device)
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
