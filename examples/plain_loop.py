"""The fused loss in a plain PyTorch loop: a small ResNet learns handwritten digits.

    python examples/plain_loop.py

It trains twice from the same weights. `with_autograd` calls `ffdwv_loss` and `backward`, as one
does with any loss. `without_autograd` calls `loss_and_grad`, which gives the loss and its gradient
at once, for loops that own their step. Both take the same steps, so their test errors are equal.
"""

import argparse

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

from ffdwv_fast import (
    LossParts,
    class_vectors,
    ffdwv_loss,
    loss_and_grad,
    resnet8,
    similarity_matrix,
)

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def with_autograd(logits: Tensor, labels: Tensor, similarity: Tensor) -> LossParts:
    parts = ffdwv_loss(logits, labels, similarity, return_parts=True)
    parts.loss.backward()
    return parts


def without_autograd(logits: Tensor, labels: Tensor, similarity: Tensor) -> LossParts:
    parts, gradient = loss_and_grad(logits, labels, similarity)
    logits.backward(gradient)
    return parts


def digits() -> list[Tensor]:
    """1,437 training and 360 test images, float32 [N, 1, 8, 8] from 0 to 1, then their labels."""
    found = load_digits()
    images = found.images[:, None].astype("float32") / 16
    parts = train_test_split(
        images, found.target, test_size=360, stratify=found.target, random_state=0
    )
    return [torch.from_numpy(part) for part in parts]


def train(step, similarity: Tensor, epochs: int) -> float:
    """Train a new net; its test error in percent."""
    images, test_images, labels, test_labels = digits()
    torch.manual_seed(0)
    net = resnet8(len(NAMES), in_channels=1)
    optimizer = torch.optim.SGD(
        net.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(epochs):
        ce = kl = correct = 0
        for batch in torch.randperm(len(labels)).split(64):
            optimizer.zero_grad()
            parts = step(net(images[batch]), labels[batch], similarity)
            optimizer.step()
            ce += parts.ce.item() * len(batch) / len(labels)
            kl += parts.kl.item() * len(batch) / len(labels)
            correct += parts.correct.item()
        schedule.step()
        error = 100 - 100 * correct / len(labels)
        print(f"epoch {epoch + 1}  ce {ce:.3f}  kl {kl:.3f}  train error {error:.2f} %")
    net.eval()
    with torch.no_grad():
        wrong = net(test_images).argmax(1) != test_labels
    return 100 * wrong.double().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()

    vectors = class_vectors(NAMES)  # [10, 50], the GloVe vectors that come with the package
    similarity = similarity_matrix(vectors)  # S [10, 10]: row y is the soft label of class y
    print(f"S gives a class itself {similarity.diagonal().mean():.3f} on average")
    for step in (with_autograd, without_autograd):
        print(f"test error {train(step, similarity, args.epochs):.2f} %  {step.__name__}")


if __name__ == "__main__":
    main()
