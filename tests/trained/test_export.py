"""python -m ffdwv_fast.export: files that give the network's logits without this package."""

import importlib.util
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ffdwv_fast import export, resnet8
from ffdwv_fast.data.digits import load_digits
from ffdwv_fast.engine.export import largest_difference
from ffdwv_fast.extras import EXTRAS

MISSING = [name for name in EXTRAS["export"] if importlib.util.find_spec(name) is None]
needs_onnx = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

MEAN, STD = 0.30543, 0.37596


def normalised(pixels):
    return ((pixels.astype(np.float32) / 255 - MEAN) / STD).transpose(0, 3, 1, 2).copy()


def reference(run, pixels):
    """Logits, computed by other means."""
    network = resnet8(10, in_channels=1)
    network.load_state_dict(load_file(run / "model.safetensors"))
    with torch.no_grad():
        return network.eval()(torch.from_numpy(normalised(pixels))).numpy()


@needs_onnx
def test_onnx_takes_pixels_in_batches_of_any_size_and_knows_its_classes(run, tmp_path, capsys):
    import onnxruntime

    file, pixels = tmp_path / "net.onnx", load_digits().test.images
    export.main([str(run), "--format", "onnx", "--out", str(file), "--with-normalisation"])
    assert "on 100 test images of digits" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for count in (1, 3, 100):
        (logits,) = session.run(["logits"], {"images": pixels[:count]})
        np.testing.assert_allclose(logits, reference(run, pixels[:count]), rtol=0, atol=1e-4)
    (description,) = session.get_inputs()
    assert (description.type, description.shape[1:]) == ("tensor(uint8)", [8, 8, 1])
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["class_names"]) == list(load_digits().class_names)
    assert metadata["model"] == "resnet8"


def test_pt2_takes_normalised_images_in_batches_of_any_size(run, tmp_path):
    file, pixels = tmp_path / "net.pt2", load_digits().test.images
    export.main([str(run), "--format", "pt2", "--out", str(file)])
    network = torch.export.load(file).module()
    for count in (1, 3, 100):
        logits = network(torch.from_numpy(normalised(pixels[:count]))).detach().numpy()
        np.testing.assert_allclose(logits, reference(run, pixels[:count]), rtol=0, atol=1e-4)
    beside = json.loads((tmp_path / "net.pt2.json").read_text())
    assert beside["class_names"] == list(load_digits().class_names)
    assert beside["input"] == {
        "name": "images",
        "dtype": "float32",
        "shape": ["N", 1, 8, 8],
        "normalised": True,
    }
    assert (beside["mean"], beside["std"]) == ([MEAN], [STD])


def without_export(monkeypatch, run_copy, program=None):
    """Let a stand-in take the place of the graph: export takes seconds."""
    monkeypatch.setattr(export, "exported", lambda *_, **__: program)
    monkeypatch.setitem(export.FORMATS, "pt2", (lambda *_: b"new", lambda _: run_copy))


def test_a_batch_of_fixed_size_is_checked_on_all_images_in_batches_of_that_size(
    run, tmp_path, monkeypatch
):
    seen = []

    def copy(images):
        seen.append(images.numpy())
        return reference(run, pixels_of(images.numpy()))

    def pixels_of(images):
        return np.rint((images.transpose(0, 2, 3, 1) * STD + MEAN) * 255).astype(np.uint8)

    without_export(monkeypatch, copy)
    file = tmp_path / "net.pt2"
    export.main([str(run), "--format", "pt2", "--out", str(file), "--batch", "30"])
    assert [len(images) for images in seen] == [30] * 4
    distinct = {image.tobytes() for image in np.concatenate(seen)}
    assert len(distinct) == 100
    assert json.loads((tmp_path / "net.pt2.json").read_text())["input"]["shape"][0] == 30
    assert file.read_bytes() == b"new"


@pytest.mark.parametrize("error", [2e-4, float("nan")])
def test_a_copy_that_differs_is_refused_and_nothing_is_written(
    run, tmp_path, monkeypatch, refused, error
):
    def copy(images):
        pixels = np.rint((images.numpy().transpose(0, 2, 3, 1) * STD + MEAN) * 255)
        logits = reference(run, pixels.astype(np.uint8))
        logits[-1, -1] += error
        return logits

    without_export(monkeypatch, copy)
    file = tmp_path / "net.pt2"
    file.write_bytes(b"old")
    line = refused(export.main, run, "--format", "pt2", "--out", file)
    assert "more than 0.0001; nothing was written" in line
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt2"]
    assert file.read_bytes() == b"old"


def test_the_largest_difference_is_over_all_batches():
    batches = [torch.zeros(2, 3), torch.ones(1, 3), torch.zeros(1, 3)]
    network = torch.nn.Identity()
    assert largest_difference(network, lambda x: x.numpy() * 0.75, iter(batches)) == 0.25
    assert largest_difference(network, lambda x: x.numpy() * np.nan, iter(batches)) == np.inf


def test_packages_that_are_missing_are_named(run, tmp_path, monkeypatch, refused):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    line = refused(export.main, run, "--format", "onnx", "--out", tmp_path / "a.onnx")
    assert "needs onnx, onnxscript, onnxruntime: pip install 'ffdwv_fast[export]'" in line


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--out", "net.bin"), "with --format pt2 the name ends in .pt2"),
        (("--out", "none/net.pt2"), "there is no folder none; make it first"),
        (("--out", "net.pt2", "--batch", "0"), "'0' is neither dynamic nor an integer of 1"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is_loaded(refused, options, expected):
    assert expected in refused(export.main, "no-run", "--format", "pt2", *options)
