"""Soft labels from text embeddings, CLIP's for instance, in place of word vectors.

    python examples/text_embeddings.py                 # stands GloVe in for a text encoder
    python examples/text_embeddings.py --embeddings digits_clip.npy

Embeddings come as a .npy file: an array [C, D] with a row for each class, of length 1 each.
`save_embeddings` makes one with any text encoder; README.md beside has CLIP's. The distance between
such rows is the cosine's. It is small whatever the classes, so that S would be almost uniform at
temperature 1: the temperature is solved for the share that a class keeps to itself. The same in the
training command:

    python -m ffdwv_fast.train --word-vectors FILE.npy --metric cosine --temperature auto:0.8
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

from ffdwv_fast import class_vectors, ffdwv_loss, resnet8, similarity_matrix

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
PROMPT = "a handwritten digit {}"


def save_embeddings(path: Path, encode: Callable[[list[str]], np.ndarray]) -> None:
    """Write a row of length 1 for each class; `encode` gives the embeddings [n, D] of n texts."""
    rows = np.asarray(encode([PROMPT.format(name) for name in NAMES]), np.float32)
    np.save(path, rows / np.linalg.norm(rows, axis=1, keepdims=True))


def glove_encoder(texts: list[str]) -> np.ndarray:
    """The GloVe vector of each text's last word: what there is without a download."""
    return class_vectors([text.split()[-1] for text in texts]).numpy()


def train(similarity: Tensor, epochs: int) -> float:
    """Train a small ResNet on handwritten digits; its test error in percent."""
    found = load_digits()
    images = found.images[:, None].astype("float32") / 16
    parts = train_test_split(
        images, found.target, test_size=360, stratify=found.target, random_state=0
    )
    images, test_images, labels, test_labels = map(torch.from_numpy, parts)
    torch.manual_seed(0)
    net = resnet8(len(NAMES), in_channels=1)
    optimizer = torch.optim.SGD(
        net.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels)).split(64):
            optimizer.zero_grad()
            ffdwv_loss(net(images[batch]), labels[batch], similarity).backward()
            optimizer.step()
        schedule.step()
    net.eval()
    with torch.no_grad():
        wrong = net(test_images).argmax(1) != test_labels
    return 100 * wrong.double().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--embeddings", type=Path, metavar="FILE.npy", help="default: GloVe's")
    parser.add_argument("--mean-diagonal", type=float, default=0.8, help="share kept to itself")
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        path = args.embeddings or Path(folder) / "digits.npy"
        if args.embeddings is None:
            save_embeddings(path, glove_encoder)
        vectors = class_vectors(NAMES, path)  # [C, D], row i is class i
    for temperature in (1.0, f"auto:{args.mean_diagonal}"):
        similarity = similarity_matrix(vectors, metric="cosine", temperature=temperature)
        nearest = NAMES[similarity[3].topk(2).indices[1]]
        print(
            f"temperature {temperature}: S gives a class itself "
            f"{similarity.diagonal().mean():.3f} on average, and 'three' is most like {nearest!r}"
        )
    print(f"test error {train(similarity, args.epochs):.2f} %")


if __name__ == "__main__":
    main()
