"""What the profile of a step counts, and how it names it."""

import json

import pytest
import torch

from benchmarks import step_profile
from benchmarks.step_contenders import Case
from benchmarks.step_profile import activation_elements, group_of, groups_ms, kernels, limits
from ffdwv_fast.command import run_command

CPU = torch.device("cpu")


@pytest.mark.parametrize(("blocks", "model"), [(1, "resnet8"), (5, "resnet32"), (18, "resnet110")])
def test_activations_are_counted_as_by_hand(blocks, model):
    first, second, third = 32 * 32 * 16, 16 * 16 * 32, 8 * 8 * 64  # elements of a stage's map
    by_hand = first * (1 + 2 * blocks) + second * 2 * blocks + third * 2 * blocks
    assert activation_elements(model, 32) == by_hand


def test_limits_are_traffic_over_bandwidth():
    found = limits(Case("resnet32", 128, CPU), 32, item_size=2, bytes_per_second=4e12)
    # 22, 17 and 7.5 passes over 303,104 elements in bfloat16.
    assert [one["mb_per_image"] for one in found] == pytest.approx([13.34, 10.31, 4.547], rel=1e-3)
    assert found[0]["ms"] == pytest.approx(128 * 13.337e6 / 4e12 * 1e3, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("aten::mkldnn_convolution", "convolution"),
        ("sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc", "convolution"),
        ("void cudnn::ops::nchwToNhwcKernel<__nv_bfloat16, float>", "copies and casts"),
        ("Memcpy DtoD (Device -> Device)", "copies and casts"),
        (
            "void at::native::elementwise_kernel<128, 4, direct_copy_kernel_cuda>",
            "copies and casts",
        ),
        ("void at::native::batch_norm_backward_reduce_channels_last_kernel", "batch normalisation"),
        ("void cudnn::bn_fw_tr_1C11_kernel_NCHW<__half2, float, 512>", "batch normalisation"),
        ("void ffdwv::cuda::loss_in_registers<float, float>(ffdwv::cuda::Call)", "loss"),
        ("void at::native::multi_tensor_apply_kernel<FusedSgdMathFunctor>", "optimizer"),
        ("void at::native::reduce_kernel<512, 1, ReduceOp<float, MeanOps>>", "reduction"),
        ("void at::native::vectorized_elementwise_kernel<4, CUDAFunctor_add>", "elementwise"),
        ("autograd::engine::evaluate_function: ConvolutionBackward0", "autograd's bookkeeping"),
        ("aten::empty", "other"),
    ],
)
def test_kernel_is_known_by_its_name(name, group):
    assert group_of(name) == group


def test_profile_counts_the_calls_of_a_step_and_groups_add_up():
    a, b = torch.ones(2, 64, 64)

    def take():
        for _ in range(4):
            a @ b
            torch.relu(a)
            torch.relu(b)

    found = {kernel.name: kernel for kernel in kernels(take, 4, CPU)}
    assert found["aten::mm"].calls == 1
    assert found["aten::relu"].calls == 2
    total = sum(kernel.us for kernel in found.values()) / 1e3
    assert sum(groups_ms(list(found.values())).values()) == pytest.approx(total)


def test_command_prints_the_tables_and_writes_the_numbers(tmp_path, capsys):
    file = tmp_path / "profile.json"
    step_profile.main(["--device", "cpu", "--tiny", "--json", str(file)])
    printed, written = capsys.readouterr().out, json.loads(file.read_text())
    (row,) = written["rows"]
    by_name = {kernel["name"]: kernel for kernel in row["kernels"]}
    assert row["step"] == "+ weight-copies"
    assert by_name["aten::mkldnn_convolution"]["calls"] == 7  # of a ResNet-8
    assert by_name["aten::_fused_sgd_"]["calls"] == 1
    assert row["kernels_ms"] == pytest.approx(sum(row["groups_ms"].values()))
    assert row["copy_gb_per_s"] > 0
    assert all(line in printed for line in written["table"])


def test_graph_is_not_profiled_without_a_gpu(tmp_path, capsys):
    step_profile.main(["--device", "cpu", "--tiny", "--step", "+ cuda-graph"])
    assert "not here: + cuda-graph, needs a GPU" in capsys.readouterr().out


def test_step_that_does_not_exist_is_one_line(capsys):
    with pytest.raises(SystemExit):
        run_command(lambda _: step_profile.main(["--device", "cpu", "--step", "magic"]))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --step: no 'magic'; there are: reference; plain amp")
