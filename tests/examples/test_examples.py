"""The examples run as they say, learn, and minimise the paper's loss."""

import importlib.util
import os
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from ffdwv_fast import class_vectors, similarity_matrix
from ffdwv_fast.data.class_names import DIGITS_CLASSES

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
# What an example needs beyond what the package does.
NEEDS = {
    "huggingface_trainer": ("transformers", "accelerate"),
    "lightning_module": ("pytorch_lightning",),
}
EPOCHS = {"huggingface_trainer": 6}  # the others: 3
MOST_TEST_ERROR = 10.0  # percent; chance: 90


def skip_without_libraries(name: str) -> None:
    for library in NEEDS.get(name, ()):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed: pip install '.[examples]'")
    if name in NEEDS and (fault := fault_of_torchvision()):
        pytest.skip(f"torchvision, which {NEEDS[name][0]} imports, fails: {fault}")


@lru_cache
def fault_of_torchvision() -> str | None:
    """Why it cannot be imported where it is installed: it was made for another torch.

    Asked of a new process, since in this one another test may have mended it.
    """
    if importlib.util.find_spec("torchvision") is None:
        return None
    done = python("-c", "import torchvision")
    return done.stderr.strip().rpartition("\n")[2] if done.returncode else None


def python(*arguments: str | Path) -> subprocess.CompletedProcess:
    """A process with this package that cannot reach the network."""
    nowhere = "http://127.0.0.1:9"
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
        | {"http_proxy": nowhere, "https_proxy": nowhere},
        capture_output=True,
        text=True,
        check=False,
    )


def run(name: str, *options: str) -> str:
    """What the example prints."""
    skip_without_libraries(name)
    done = python(ROOT / "examples" / f"{name}.py", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def imported(name: str) -> ModuleType:
    skip_without_libraries(name)
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reference_loss(logits: Tensor, labels: Tensor, similarity: Tensor) -> float:
    """Equations 1, 2, 8 and 9 of the paper, the mean over the batch, in numpy's float64."""
    z, s = logits.detach().double().numpy(), similarity.double().numpy()[labels.numpy()]
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    ce = -np.log(p[np.arange(len(p)), labels.numpy()])
    kl = (s * np.log(s / p)).sum(axis=1)
    return float((ce + kl).mean())


@pytest.fixture
def similarity() -> Tensor:
    return similarity_matrix(class_vectors(DIGITS_CLASSES))


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Images [12, 1, 8, 8] and labels."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(12, 1, 8, 8, generator=generator)
    return images, torch.randint(10, (12,), generator=generator)


@pytest.mark.parametrize("name", [path.stem for path in EXAMPLES])
def test_it_learns(name):
    printed = run(name, "--epochs", str(EPOCHS.get(name, 3)))
    errors = [float(number) for number in re.findall(r"^test error ([\d.]+) %", printed, re.M)]
    assert errors, printed
    assert max(errors) < MOST_TEST_ERROR
    assert len(set(errors)) == 1  # the plain loop's two ways are one


@pytest.mark.parametrize("name", [path.stem for path in EXAMPLES])
def test_the_readme_beside_names_it(name):
    assert f"`{name}.py`" in (ROOT / "examples" / "README.md").read_text()


@pytest.mark.parametrize("step", ["with_autograd", "without_autograd"])
def test_the_plain_loop_takes_the_papers_loss_and_its_gradient(step, similarity, batch):
    logits = torch.randn(12, 10, generator=torch.Generator().manual_seed(1), requires_grad=True)
    labels = batch[1]
    parts = getattr(imported("plain_loop"), step)(logits, labels, similarity)
    assert parts.loss.item() == pytest.approx(reference_loss(logits, labels, similarity), rel=1e-5)
    p, e = torch.softmax(logits.detach(), dim=1), torch.eye(10)[labels]
    torch.testing.assert_close(logits.grad, (2 * p - e - similarity[labels]) / 12)


@pytest.mark.filterwarnings("ignore:You are trying to `self.log")
def test_the_lightning_module_takes_the_papers_loss(similarity, batch):
    module = imported("lightning_module").Digits(similarity)
    loss = module.training_step(list(batch), 0)
    expected = reference_loss(module.net(batch[0]), batch[1], similarity)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert torch.equal(module.state_dict()["loss.similarity"], similarity)


def test_the_hugging_face_trainer_takes_the_papers_loss(similarity, batch, tmp_path):
    images, labels = batch
    rows = [{"pixel_values": image, "labels": label} for image, label in zip(*batch, strict=True)]
    trainer = imported("huggingface_trainer").make_trainer(rows, epochs=1, folder=str(tmp_path))
    inputs = {"pixel_values": images, "labels": labels}
    loss = trainer.compute_loss(trainer.model, dict(inputs))
    expected = reference_loss(trainer.model(images).logits, labels, similarity)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_the_hugging_face_loss_is_a_mean_over_all_parts_of_a_step(similarity, batch):
    logits = torch.randn(12, 10, generator=torch.Generator().manual_seed(1))
    loss = imported("huggingface_trainer").TrainerLoss(similarity, torch.device("cpu"))
    parts = [
        loss(SimpleNamespace(logits=logits[part]), batch[1][part], num_items_in_batch=12).item()
        for part in (slice(0, 5), slice(5, 12))
    ]
    assert sum(parts) == pytest.approx(reference_loss(logits, batch[1], similarity), rel=1e-5)


def test_text_embeddings_train_on_the_papers_loss(similarity, monkeypatch):
    example, taken = imported("text_embeddings"), []

    def checked(logits: Tensor, labels: Tensor, given: Tensor) -> Tensor:
        loss = original(logits, labels, given)
        assert loss.item() == pytest.approx(reference_loss(logits, labels, given), rel=1e-5)
        taken.append(given)
        return loss

    original = example.ffdwv_loss
    monkeypatch.setattr(example, "ffdwv_loss", checked)
    example.train(similarity, 1)
    assert len(taken) == 23  # batches of 64 in 1,437 images
    assert all(given is similarity for given in taken)


def test_text_embeddings_are_rows_of_length_1_in_the_order_of_the_classes(tmp_path):
    texts = []

    def encode(asked: list[str]) -> np.ndarray:
        texts.extend(asked)
        return np.diag(np.arange(1.0, 11.0))

    imported("text_embeddings").save_embeddings(tmp_path / "e.npy", encode)
    assert texts == [f"a handwritten digit {name}" for name in DIGITS_CLASSES]
    saved = np.load(tmp_path / "e.npy", allow_pickle=False)
    assert saved.dtype == np.float32
    np.testing.assert_array_equal(saved, np.eye(10))


def test_text_embeddings_from_a_file_with_a_temperature_that_is_solved_for(
    tmp_path, monkeypatch, capsys
):
    rows = np.random.default_rng(0).normal(size=(10, 16)).astype(np.float32)
    np.save(tmp_path / "e.npy", rows)
    example, trained_on = imported("text_embeddings"), []
    monkeypatch.setattr(example, "train", lambda given, _epochs: trained_on.append(given) or 0.0)
    options = ["--embeddings", str(tmp_path / "e.npy"), "--mean-diagonal", "0.6"]
    monkeypatch.setattr(sys, "argv", ["text_embeddings.py", *options])
    example.main()
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    diagonal = (1 / np.exp(unit @ unit.T - 1).sum(axis=1)).mean()
    printed = re.findall(r"temperature (\S+): .* itself ([\d.]+)", capsys.readouterr().out)
    assert printed == [("1.0", f"{diagonal:.3f}"), ("auto:0.6", "0.600")]
    assert trained_on[0].diagonal().mean().item() == pytest.approx(0.6, abs=1e-6)
    logs = trained_on[0].double().log().numpy()
    distances = 1 - unit @ unit.T  # log S is -distance / T but for a constant in each row
    ratios = (logs.diagonal()[:, None] - logs)[distances > 0.1] / distances[distances > 0.1]
    assert ratios == pytest.approx(ratios.mean(), rel=1e-4)
