"""python -m benchmarks.reference_train: training in plain PyTorch, what speed is measured against.

Nothing here is clever, and nothing is slow on purpose: a DataLoader with workers, torchvision's
transforms image by image (on tensors, without torchvision), float32, NCHW, eager, the loss from
PyTorch's own functions, foreach SGD, no waiting for the device within an epoch. From the package
come the files' readers, the class vectors behind S and the layers of the network; the network is
asked for without its speed-ups.
"""

import time
from argparse import Namespace
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ffdwv_fast import class_vectors, similarity_matrix
from ffdwv_fast.command import (
    ArgumentParser,
    non_negative_float,
    non_negative_int,
    positive_float,
    positive_int,
    run_command,
)
from ffdwv_fast.data.dataset import Dataset, ImageSet
from ffdwv_fast.data.registry import DATASETS, load_dataset
from ffdwv_fast.models import MODELS

METHODS = ("vanilla", "ffdwv")


class Images(TorchDataset):
    """Images as torchvision gives them: RandomCrop and RandomHorizontalFlip, then Normalize."""

    def __init__(self, images: ImageSet, dataset: Dataset, train: bool):
        self.images = torch.from_numpy(images.images).permute(0, 3, 1, 2).contiguous()
        self.labels = images.labels.tolist()
        self.padding = dataset.padding if train else 0
        self.flip = dataset.flip and train
        self.mean = torch.tensor(dataset.mean).view(-1, 1, 1)
        self.std = torch.tensor(dataset.std).view(-1, 1, 1)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.images[index]
        if self.padding:
            _, height, width = image.shape
            y, x = torch.randint(2 * self.padding + 1, (2,)).tolist()
            image = F.pad(image, (self.padding,) * 4)[:, y : y + height, x : x + width]
        if self.flip and torch.rand(()) < 0.5:
            image = image.flip(-1)
        return (image.float() / 255 - self.mean) / self.std, self.labels[index]


def make_loader(
    images: ImageSet,
    dataset: Dataset,
    *,
    batch_size: int,
    workers: int,
    device: torch.device,
    train: bool,
) -> DataLoader:
    """Batches of images [N, C, H, W] float32 and labels [N] int64, in the host's memory."""
    return DataLoader(
        Images(images, dataset, train),
        batch_size,
        shuffle=train,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
    )


def make_model(name: str, num_classes: int, in_channels: int) -> nn.Module:
    """A network without the package's speed-ups."""
    return MODELS[name](
        num_classes, in_channels=in_channels, channels_last=False, skip_counters=False
    )


def make_optimizer(model: nn.Module, lr: float, weight_decay: float) -> torch.optim.SGD:
    """SGD as the paper has it."""
    return torch.optim.SGD(
        model.parameters(), lr, momentum=0.9, nesterov=True, weight_decay=weight_decay
    )


def loss_function(logits: Tensor, labels: Tensor, similarity: Tensor | None) -> Tensor:
    """Cross-entropy and, with S, the divergence to its rows (paper, eq. 9)."""
    loss = F.cross_entropy(logits, labels)
    if similarity is not None:
        log_p = F.log_softmax(logits, dim=1)
        loss = loss + F.kl_div(log_p, similarity[labels], reduction="batchmean")
    return loss


class Sums:
    """Loss and correct predictions, kept on the device until the epoch ends."""

    def __init__(self, device: torch.device):
        self.loss = torch.zeros((), device=device)
        self.correct = torch.zeros((), dtype=torch.int64, device=device)

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        self.loss += loss.detach() * len(labels)
        self.correct += (logits.argmax(1) == labels).sum()


def train_step(
    model: Callable[[Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    similarity: Tensor | None,
    sums: Sums,
) -> None:
    """One step on a batch that is on the device."""
    optimizer.zero_grad()
    logits = model(images)
    loss = loss_function(logits, labels, similarity)
    loss.backward()
    optimizer.step()
    sums.add(loss, logits, labels)


def train_epoch(model, optimizer, loader, similarity, device) -> tuple[float, float]:
    """Train on every image once; images/s and the mean loss."""
    model.train()
    sums = Sums(device)
    start = time.perf_counter()
    for images, labels in loader:
        images = images.to(device, non_blocking=True)
        labels = labels.to(device, non_blocking=True)
        train_step(model, optimizer, images, labels, similarity, sums)
    mean_loss = sums.loss.item() / len(loader.dataset)  # waits for the device
    return len(loader.dataset) / (time.perf_counter() - start), mean_loss


@torch.no_grad()
def evaluate(model: nn.Module, loader: DataLoader, device: torch.device) -> float:
    """Top-1 error in percent."""
    model.eval()
    correct = torch.zeros((), dtype=torch.int64, device=device)
    for images, labels in loader:
        correct += (model(images.to(device)).argmax(1) == labels.to(device)).sum()
    return 100 * (1 - correct.item() / len(loader.dataset))


def train(args: Namespace, dataset: Dataset, similarity: Tensor | None) -> None:
    """Train and print a line per epoch."""
    device = torch.device(args.device)
    torch.manual_seed(args.seed)
    model = make_model(args.model, dataset.num_classes, dataset.image_shape[0]).to(device)
    optimizer = make_optimizer(model, args.lr, args.weight_decay)
    milestones = [-(-args.epochs // 2), -(-3 * args.epochs // 4)]  # 50 % and 75 % of the run
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)
    settings = dict(batch_size=args.batch_size, workers=args.workers, device=device)
    train_loader = make_loader(dataset.train, dataset, train=True, **settings)
    test_loader = make_loader(dataset.test, dataset, train=False, **settings)
    if similarity is not None:
        similarity = similarity.to(device)
    for epoch in range(args.epochs):
        rate, loss = train_epoch(model, optimizer, train_loader, similarity, device)
        schedule.step()
        line = f"epoch {epoch + 1}/{args.epochs}  loss {loss:.3f}  {rate:,.0f} images/s"
        if (epoch + 1) % args.evaluate_every == 0 or epoch + 1 == args.epochs:
            line += f"  test error {evaluate(model, test_loader, device):5.2f} %"
        print(line, flush=True)


def parser() -> ArgumentParser:
    """The command's options."""
    p = ArgumentParser(prog="python -m benchmarks.reference_train", description=__doc__)
    what = p.add_argument_group("what is trained")
    what.add_argument("--method", choices=METHODS, default="ffdwv", help="the loss")
    what.add_argument("--dataset", choices=DATASETS, default="cifar10", help="the images")
    what.add_argument("--data-dir", default="data", metavar="DIR", help="where they are")
    what.add_argument("--limit", type=positive_int, metavar="N", help="use N training images")
    what.add_argument("--model", choices=MODELS, default="resnet32", help="the network")
    recipe = p.add_argument_group("recipe")
    recipe.add_argument("--epochs", type=positive_int, default=300, help="passes over the images")
    recipe.add_argument(
        "--evaluate-every", type=positive_int, default=1, metavar="N", help="epochs; and the last"
    )
    recipe.add_argument("--batch-size", type=positive_int, default=128, help="images per step")
    recipe.add_argument("--lr", type=positive_float, default=0.1, help="learning rate")
    recipe.add_argument(
        "--weight-decay", type=non_negative_float, default=1e-4, help="of all weights"
    )
    recipe.add_argument("--seed", type=non_negative_int, default=0, help="of torch's generator")
    where = p.add_argument_group("where")
    where.add_argument("--workers", type=non_negative_int, default=2, help="of the DataLoader")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    where.add_argument("--device", choices=["cpu", "cuda"], default=device, help="where to train")
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    dataset = load_dataset(args.dataset, args.data_dir)
    if args.limit is not None:
        dataset = dataset.limit_train(args.limit)
    similarity = None
    if args.method == "ffdwv":
        vectors = class_vectors(dataset.class_names, source="glove-6b-50d")
        similarity = similarity_matrix(vectors)
    train(args, dataset, similarity)


if __name__ == "__main__":
    run_command(main)
