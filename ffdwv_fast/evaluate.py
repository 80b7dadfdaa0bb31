"""python -m ffdwv_fast.evaluate: measure a finished run's network on a data set.

Without options it measures what the run's summary has, the same way, and on the same device gets
the same numbers. S, for the rank correlation, is the run's; of methods without one it is that of
the bundled word vectors (Euclidean, temperature 1).
"""

from ffdwv_fast.extras import EVERY_RUN, exit_without

if __name__ == "__main__":  # what is imported next needs them
    exit_without(*EVERY_RUN)

import json
import sys
from argparse import Namespace
from pathlib import Path

import torch
from torch import Tensor

from ffdwv_fast.atomic_file import replaced_file
from ffdwv_fast.command import ArgumentParser, positive_int, run_command
from ffdwv_fast.data.dali_loader import dali_available
from ffdwv_fast.data.dataset import Dataset, ImageSet
from ffdwv_fast.data.image_op import why_not_on
from ffdwv_fast.data.loader import LOADERS, make_loader
from ffdwv_fast.data.registry import DATASETS
from ffdwv_fast.devices import resolve_device
from ffdwv_fast.engine.evaluate import predictions
from ffdwv_fast.engine.final_metrics import final_metrics, top_k_error
from ffdwv_fast.engine.precision import Precision
from ffdwv_fast.engine.run import GPU_EVALUATION_BATCH
from ffdwv_fast.engine.run_images import images_for
from ffdwv_fast.engine.trained import Trained, load_trained
from ffdwv_fast.errors import InputError
from ffdwv_fast.semantics.arguments import similarity_from_arguments
from ffdwv_fast.semantics.bundled import BUNDLED_SOURCE

# What the correlation is computed with where the run's method has no S of its own.
DEFAULT_SIMILARITY = {
    "source": BUNDLED_SOURCE,
    "aliases": [],
    "metric": "euclidean",
    "temperature": 1.0,
}

LINES = {
    "error": ("top-1 error", "{:.2f} %"),
    "top5_error": ("top-5 error", "{:.2f} %"),
    "nll": ("negative log-likelihood", "{:.4f} nats"),
    "ece": ("expected calibration error", "{:.2f} %"),
    "errors_in_superclass": ("errors inside the superclass", "{:.1f} % of the errors"),
    "confusion_correlation": ("rank correlation of confusions and S", "{:.3f}"),
}


def parser() -> ArgumentParser:
    """The command's options."""
    p = ArgumentParser(prog="python -m ffdwv_fast.evaluate", description=__doc__)
    p.add_argument("run", type=Path, metavar="RUN", help="a finished run's folder")
    data = p.add_argument_group("data")
    data.add_argument(
        "--dataset",
        choices=DATASETS,
        help="whose images; its classes must be the run's (default: the run's data set). They "
        "are normalised as the run's",
    )
    data.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where data sets are, or are downloaded to; of --dataset folder the folder of images "
        "(default: the run's)",
    )
    data.add_argument(
        "--split",
        choices=["test", "validation", "train"],
        help="test images; the images that the run held out with --validation; or those that it "
        "trained on, not augmented (default: what the run's summary is about: test, but "
        "validation where images were held out)",
    )
    how = p.add_argument_group("how")
    how.add_argument(
        "--device",
        default="auto",
        help="auto (a GPU if there is one), cpu, cuda or cuda:N; on the kind of device that the "
        "run had, with its mixed precision, on another one in float32",
    )
    how.add_argument(
        "--batch-size",
        type=positive_int,
        metavar="N",
        help=f"images at once (default: the run's; on a GPU at least {GPU_EVALUATION_BATCH})",
    )
    how.add_argument(
        "--loader",
        choices=LOADERS,
        help="who feeds the images (default: the run's, or torch where that is not installed)",
    )
    how.add_argument(
        "--allow-pickle",
        action="store_true",
        help="read the run's word vectors, for the rank correlation, where they are a pickle of "
        "gensim's too: only from an origin that you trust",
    )
    how.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to a file too")
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    if args.json is not None and not args.json.absolute().parent.is_dir():
        raise InputError(f"--json {args.json}: there is no folder {args.json.parent}; make it")
    trained = load_trained(args.run, resolve_device(args.device, option="--device"))
    result = evaluate(trained, args)
    print(_table(result))
    if args.json is not None:
        _write(args.json, result)


def evaluate(trained: Trained, args: Namespace) -> dict[str, object]:
    """All metrics of a network on what the options of `parser` ask for.

    Raises:
        InputError: the data set is of other classes or images than the network.
    """
    config = trained.config
    name = args.dataset or config.dataset
    split = args.split or ("test" if config.validation is None else "validation")
    data_dir = args.data_dir or Path(config.data_dir)
    dataset = images_for(config, name, data_dir, trained.device, test_only=split == "test")
    images = _images(trained, dataset, split)
    amp = config.amp if torch.device(config.device).type == trained.device.type else "off"
    loader = args.loader or _usable_loader(config.loader, trained.device)
    logits, labels = _logits(trained, dataset, images, loader, args.batch_size, amp)
    s, matrix = _similarity(trained, args.allow_pickle)
    metrics = final_metrics(logits, labels, dataset.superclasses, matrix)
    return {
        "run": str(trained.folder),
        "dataset": name,
        "split": split,
        "images": len(images),
        "device": str(trained.device),
        "amp": amp,
        "loader": loader,
        "error": top_k_error(logits, labels, k=1),
        **metrics._asdict(),
        "similarity": s,
    }


def _images(trained: Trained, dataset: Dataset, split: str) -> ImageSet:
    """The images of a split, as the run had them where the data set is the run's."""
    config = trained.config
    is_own = dataset.name == config.dataset
    if split == "test":
        return dataset.test
    if split == "validation" and (config.validation is None or not is_own):
        raise InputError(
            f"--split validation: {trained.folder} held no images of {dataset.name} out; use test "
            "or train"
        )
    if is_own and config.train_limit is not None:
        dataset = dataset.limit_train(config.train_limit)
    if is_own and config.validation is not None:
        dataset = dataset.hold_out(config.validation, config.seed)
    return dataset.test if split == "validation" else dataset.train


def _logits(
    trained: Trained,
    dataset: Dataset,
    images: ImageSet,
    loader: str,
    batch_size: int | None,
    amp: str,
) -> tuple[Tensor, Tensor]:
    on_gpu = trained.device.type == "cuda"
    least = GPU_EVALUATION_BATCH if on_gpu else 1
    batch_size = batch_size or max(trained.config.batch_size, least)
    batches = make_loader(
        loader,
        images,
        dataset,
        batch_size=batch_size,
        device=trained.device,
        seed=trained.config.seed,
        augment=False,
        half=on_gpu and amp != "off",
    )
    try:
        return predictions(trained.network, batches, Precision(amp, trained.device))
    except torch.OutOfMemoryError:
        raise InputError(
            f"--batch-size {batch_size}: the GPU's free memory does not suffice; use fewer"
        ) from None
    finally:
        batches.close()


def _usable_loader(name: str, device: torch.device) -> str:
    if name == "dali":
        return name if dali_available() else "torch"
    if name == "gpu":
        return name if why_not_on(device) is None else "torch"
    return name


def _similarity(
    trained: Trained, allow_pickle: bool
) -> tuple[dict[str, object] | None, Tensor | None]:
    """What S is made of, and S; None where its word vectors are not to be had any more."""
    made_of = trained.config.similarity or DEFAULT_SIMILARITY
    try:
        options = Namespace(
            word_vectors=made_of["source"],
            allow_pickle=allow_pickle,
            alias=made_of["aliases"],
            alias_file=None,
            metric=made_of["metric"],
            temperature=repr(made_of["temperature"]),
        )
        return made_of, similarity_from_arguments(options, trained.images.class_names).matrix
    except InputError as error:
        print(f"warning: no rank correlation with S: {error}", file=sys.stderr)
        return None, None


def _table(result: dict[str, object]) -> str:
    title = (
        f"{result['run']} on {result['images']:,} {result['split']} images of {result['dataset']} "
        f"({result['device']}, amp {result['amp']}, {result['loader']} loader)"
    )
    lines = [
        f"{label:<38}{text.format(result[name])}"
        for name, (label, text) in LINES.items()
        if result[name] is not None
    ]
    return "\n".join([title, *lines])


def _write(path: Path, result: dict[str, object]) -> None:
    try:
        with replaced_file(path) as stream:
            stream.write((json.dumps(result, indent=2) + "\n").encode())
    except OSError as error:
        raise InputError(f"--json {path}: cannot be written ({error.strerror})") from None


if __name__ == "__main__":
    run_command(main)
