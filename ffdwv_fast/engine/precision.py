"""Mixed precision: which dtype autocast uses, and whether the loss has to be scaled."""

import torch

from ffdwv_fast.errors import InputError

AMP_DTYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}
AUTO = "auto"  # bf16 where the device computes in it


def computes_in_bf16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16; a CPU without them emulates it, slowly."""
    if device.type != "cpu":
        return True
    if torch.cpu._is_avx2_supported():  # x86, where the other question is about emulation too
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def chosen_amp(amp: str, device: torch.device) -> str:
    """A name in AMP_DTYPES for what was asked for, AUTO among it."""
    if amp != AUTO:
        return amp
    return "bf16" if computes_in_bf16(device) else "off"


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
