"""Mixed precision: which dtype autocast uses, and whether the loss has to be scaled."""

import torch

from ffdwv_fast.errors import InputError

AMP_DTYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """Autocast and, for float16, loss scaling.

    Args:
        amp: "off", "bf16" or "fp16".
        device: where the network is.

    Raises:
        InputError: float16 on a CPU, or an unknown name.
    """

    def __init__(self, amp: str, device: torch.device):
        if amp not in AMP_DTYPES:
            raise InputError(f"--amp {amp}: expected one of {', '.join(AMP_DTYPES)}")
        if amp == "fp16" and device.type == "cpu":
            raise InputError("--amp fp16 needs a GPU; on a CPU use --amp bf16 or --amp off")
        self.device_type = device.type
        self.dtype = AMP_DTYPES[amp]
        self.scaler = torch.amp.GradScaler(device.type, enabled=amp == "fp16")

    def autocast(self) -> torch.autocast:
        """The context in which the forward pass runs.

        Its cache is off: a weight is cast once a pass anyway, and a CUDA graph must not find one
        that was cast outside of it.
        """
        enabled = self.dtype is not None
        return torch.autocast(self.device_type, self.dtype, enabled, cache_enabled=False)
