"""The CUDA kernels, called as ffdwv_loss is, but run on the host by the emulation.

What this shows: indices, tails, reductions, masks, barriers. What it does not: timing, registers,
the order in which a GPU makes memory visible.
"""

import pytest
import torch

from ffdwv_fast.loss.arguments import loss_dtype
from ffdwv_fast.loss.functional import LossParts

_emulation = pytest.importorskip(
    "tests.emulation._emulation", reason="the emulation is built with -DFFDWV_TESTS=ON"
)


def emulated_loss(
    logits,
    labels,
    similarity,
    soft_weight=1.0,
    *,
    ce_weight=1.0,
    reduction="mean",
    ignore_index=-100,
    return_parts=True,
    grad_out=None,
    soft_by_row=False,
    teacher=False,
    temperature=1.0,
    grad_scale=1.0,
    known_entropy=True,
    order="random",
    most_blocks=3,
    count=False,
):
    """(LossParts, gradient) from the emulated kernel; every output starts as NaN.

    Args, beyond those of ffdwv_loss:
        similarity: S [C, C]; with soft_by_row the soft targets [N, C], with teacher its logits.
        grad_out: upstream gradient, [] or [N].
        temperature: of the teacher.
        grad_scale: of the gradient, on top of grad_out.
        known_entropy: hand over the entropies of S instead of having the kernel sum them.
        order: in which the emulation runs threads and blocks.
        most_blocks: upper bound of the grid, so that blocks visit several tiles.
        count: count the rows in a launch of its own.
    """
    assert return_parts
    n, c = logits.shape
    per_row = reduction == "none"
    shape = (n,) if per_row else ()
    loss = torch.full(shape, torch.nan, dtype=loss_dtype(logits))
    parts = torch.full((3, *shape), torch.nan, dtype=torch.float64)
    grad = torch.full((n, c), torch.nan, dtype=logits.dtype)
    block_sums = torch.full((most_blocks, 4), torch.nan, dtype=torch.float64)
    ticket = torch.zeros(1, dtype=torch.int32)
    entropy = None
    if similarity is not None and known_entropy and not (soft_by_row or teacher):
        soft = similarity.double()
        entropy = torch.special.xlogy(soft, soft).sum(1)
    arguments = {
        "logits": logits.data_ptr(),
        "logits_row": logits.stride(0),
        "logits_column": logits.stride(1),
        "soft": 0 if similarity is None else similarity.data_ptr(),
        "soft_row": 0 if similarity is None else similarity.stride(0),
        "soft_column": 0 if similarity is None else similarity.stride(1),
        "soft_by_row": soft_by_row or teacher,
        "temperature": temperature,
        "neg_entropy": 0 if entropy is None else entropy.data_ptr(),
        "labels": labels.data_ptr(),
        "labels_stride": labels.stride(0),
        "wide_labels": labels.dtype == torch.int64,
        "grad_out": 0 if grad_out is None else grad_out.data_ptr(),
        "grad_out_stride": grad_out.stride(0) if per_row and grad_out is not None else 0,
        "grad": grad.data_ptr(),
        "loss": loss.data_ptr(),
        "parts": parts.data_ptr(),
        "rows": n,
        "classes": c,
        "ignore_index": ignore_index,
        "ce_weight": ce_weight,
        "soft_weight": soft_weight,
        "grad_scale": grad_scale,
        "per_row": per_row,
        "mean": reduction == "mean",
        "block_sums": block_sums.data_ptr(),
        "ticket": ticket.data_ptr(),
    }
    name = "none" if similarity is None else str(similarity.dtype).removeprefix("torch.")
    _emulation.loss(
        str(logits.dtype).removeprefix("torch."),
        name,
        teacher,
        arguments,
        order,
        0,
        most_blocks,
        count,
    )
    assert ticket.item() == 0, "the ticket is not ready for another launch"
    ce, kl, correct = parts
    return LossParts(loss, ce.to(loss.dtype), kl.to(loss.dtype), correct.long()), grad
