"""The loss in a LightningModule: a small ResNet learns handwritten digits.

    pip install pytorch-lightning
    python examples/lightning_module.py

`FFDWVLoss` is a module and S its buffer, so Lightning moves S to the device with the network and
keeps it in the checkpoint.
"""

import argparse

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from ffdwv_fast import FFDWVLoss, class_vectors, resnet8, similarity_matrix

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


class Digits(pl.LightningModule):
    """A ResNet-8 and its loss. Batches are images [N, 1, 8, 8] and labels [N]."""

    def __init__(self, similarity: Tensor):
        super().__init__()
        self.net = resnet8(len(similarity), in_channels=1)
        self.loss = FFDWVLoss(similarity)

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        images, labels = batch
        parts = self.loss(self.net(images), labels, return_parts=True)
        self.log_dict({"ce": parts.ce, "kl": parts.kl}, on_step=False, on_epoch=True)
        return parts.loss

    def on_train_epoch_end(self) -> None:
        means = self.trainer.callback_metrics
        print(f"epoch {self.current_epoch + 1}  ce {means['ce']:.3f}  kl {means['kl']:.3f}")

    def test_step(self, batch: list[Tensor], index: int) -> None:
        images, labels = batch
        wrong = self.net(images).argmax(1) != labels
        self.log("test_error", 100 * wrong.float().mean())

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(
            self.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.trainer.max_epochs)
        return [optimizer], [schedule]


def loaders() -> tuple[DataLoader, DataLoader]:
    """Batches of the 1,437 training and of the 360 test images."""
    found = load_digits()
    images = found.images[:, None].astype("float32") / 16
    parts = train_test_split(
        images, found.target, test_size=360, stratify=found.target, random_state=0
    )
    images, test_images, labels, test_labels = map(torch.from_numpy, parts)
    return (
        DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True),
        DataLoader(TensorDataset(test_images, test_labels), batch_size=360),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()

    pl.seed_everything(0, verbose=False)
    train, test = loaders()
    module = Digits(similarity_matrix(class_vectors(NAMES)))
    trainer = pl.Trainer(
        max_epochs=args.epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    trainer.fit(module, train)
    (result,) = trainer.test(module, test, verbose=False)
    print(f"test error {result['test_error']:.2f} %")


if __name__ == "__main__":
    main()
