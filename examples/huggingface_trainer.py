"""The loss in a Hugging Face Trainer: a tiny vision transformer learns handwritten digits.

    pip install transformers accelerate
    python examples/huggingface_trainer.py

The Trainer takes the loss as `compute_loss_func`; the network's own loss is then not computed. The
network is made from a configuration, so nothing is downloaded.
"""

import argparse
import tempfile

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

from ffdwv_fast import FFDWVLoss, class_vectors, similarity_matrix

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


class TrainerLoss:
    """FFDWV as `compute_loss_func`.

    Args:
        similarity: S [C, C].
        device: where the Trainer has the network.
    """

    def __init__(self, similarity: Tensor, device: torch.device):
        self.sum = FFDWVLoss(similarity, reduction="sum").to(device)

    def __call__(self, outputs, labels: Tensor, num_items_in_batch=None) -> Tensor:
        # The Trainer counts the labels of all parts of a step, which gradients may be summed over.
        count = len(labels) if num_items_in_batch is None else num_items_in_batch
        return self.sum(outputs.logits, labels) / count


def tiny_vit() -> ViTForImageClassification:
    """For images [N, 1, 8, 8], in 16 patches of 2 x 2 pixels."""
    config = ViTConfig(
        image_size=8,
        patch_size=2,
        num_channels=1,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.1,  # the default is for networks ten times as wide
        id2label=dict(enumerate(NAMES)),
        label2id={name: label for label, name in enumerate(NAMES)},
    )
    return ViTForImageClassification(config)


def digits() -> tuple[list[dict], list[dict]]:
    """The 1,437 training and the 360 test images as the Trainer takes them: a dictionary each."""
    found = load_digits()
    images = found.images[:, None].astype("float32") / 16
    images, test_images, labels, test_labels = train_test_split(
        images, found.target, test_size=360, stratify=found.target, random_state=0
    )

    def rows(images, labels) -> list[dict]:
        pairs = zip(torch.from_numpy(images), labels.tolist(), strict=True)
        return [{"pixel_values": image, "labels": label} for image, label in pairs]

    return rows(images, labels), rows(test_images, test_labels)


def make_trainer(train: list[dict], epochs: int, folder: str) -> Trainer:
    """A Trainer of a new network by FFDWV, with GloVe's soft labels."""
    arguments = TrainingArguments(
        output_dir=folder,
        num_train_epochs=epochs,
        per_device_train_batch_size=64,
        per_device_eval_batch_size=360,
        learning_rate=3e-3,
        warmup_steps=20,
        seed=0,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_strategy="epoch",
        disable_tqdm=True,
    )
    similarity = similarity_matrix(class_vectors(NAMES))
    return Trainer(
        model=tiny_vit(),
        args=arguments,
        train_dataset=train,
        compute_loss_func=TrainerLoss(similarity, arguments.device),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()

    torch.manual_seed(0)
    train, test = digits()
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(train, args.epochs, folder)
        trainer.train()
        logits, labels, _ = trainer.predict(test)
    print(f"test error {100 * (logits.argmax(1) != labels).mean():.2f} %")


if __name__ == "__main__":
    main()
