"""python -m ffdwv_fast.train: train a network with word-vector soft labels, or without."""

from argparse import ArgumentTypeError, Namespace
from pathlib import Path

import torch

from ffdwv_fast.command import (
    ArgumentParser,
    non_negative_float,
    non_negative_int,
    positive_float,
    positive_int,
    run_command,
)
from ffdwv_fast.data.dali_loader import dali_available
from ffdwv_fast.data.dataset import Dataset
from ffdwv_fast.data.loader import LOADERS
from ffdwv_fast.data.registry import DATASETS, load_dataset, resolve_dataset
from ffdwv_fast.devices import resolve_device
from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.engine.precision import AMP_DTYPES, Precision
from ffdwv_fast.engine.recipes import RECIPES
from ffdwv_fast.engine.run import run
from ffdwv_fast.engine.run_folder import check_free, default_path
from ffdwv_fast.engine.seeds import run_seeds
from ffdwv_fast.engine.speedups import SPEEDUPS, Speedups
from ffdwv_fast.engine.step_graph import graph_wanted
from ffdwv_fast.errors import InputError
from ffdwv_fast.methods import METHODS
from ffdwv_fast.models import MODELS
from ffdwv_fast.models.resnet import SHORTCUTS
from ffdwv_fast.semantics.arguments import (
    SimilarityResult,
    add_similarity_arguments,
    similarity_from_arguments,
)


def parser() -> ArgumentParser:
    """The command's options."""
    p = ArgumentParser(prog="python -m ffdwv_fast.train", description=__doc__)
    p.add_argument("--method", choices=METHODS, default="ffdwv", help="how the net is trained")
    p.add_argument(
        "--soft-weight",
        type=non_negative_float,
        default=1.0,
        metavar="LAMBDA",
        help="weight of the KL term",
    )
    data = p.add_argument_group("data")
    data.add_argument(
        "--dataset",
        choices=["auto", *DATASETS],
        default="auto",
        help="auto: cifar10 if it is under --data-dir, else digits",
    )
    data.add_argument(
        "--data-dir",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="where data sets are, or are downloaded to",
    )
    data.add_argument(
        "--train-limit",
        type=positive_int,
        metavar="N",
        help="use N training images, the same for every seed (default: all)",
    )
    data.add_argument(
        "--loader",
        choices=LOADERS,
        help="who feeds the images (default: dali where it is installed)",
    )
    data.add_argument(
        "--workers",
        type=non_negative_int,
        default=0,
        metavar="N",
        help="processes that prepare batches for the torch loader; 0: the trainer's own",
    )
    net = p.add_argument_group("network and recipe")
    net.add_argument("--model", choices=MODELS, help=f"network ({_recipe_help('model')})")
    net.add_argument(
        "--shortcut", choices=SHORTCUTS, default="A", help="A: zero padding, B: projection"
    )
    net.add_argument(
        "--epochs",
        type=positive_int,
        metavar="N",
        help=f"passes over the training images ({_recipe_help('epochs')})",
    )
    net.add_argument(
        "--batch-size",
        type=positive_int,
        metavar="N",
        help=f"images per step ({_recipe_help('batch_size')})",
    )
    net.add_argument(
        "--lr",
        type=positive_float,
        help="learning rate; a tenth of it from 50 %% of the run on, a hundredth "
        f"from 75 %% ({_recipe_help('lr')})",
    )
    net.add_argument(
        "--weight-decay",
        type=non_negative_float,
        metavar="W",
        help=f"of every parameter ({_recipe_help('weight_decay')})",
    )
    _add_speed_arguments(p)
    how = p.add_argument_group("run")
    how.add_argument(
        "--device", default="auto", help="auto (a GPU if there is one), cpu, cuda or cuda:N"
    )
    seeds = how.add_mutually_exclusive_group()
    seeds.add_argument(
        "--seed",
        type=non_negative_int,
        default=0,
        help="of initial weights, order and augmentation",
    )
    seeds.add_argument(
        "--seeds",
        type=_different_seeds,
        metavar="N,N,...",
        help="a run for each, at once on a GPU, one after the other on a CPU",
    )
    how.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the results, new or empty (default: a new one under runs/)",
    )
    add_similarity_arguments(p)
    return p


def _add_speed_arguments(p: ArgumentParser) -> None:
    speed = p.add_argument_group("speed", "docs/speed.md says what each does")
    speed.add_argument(
        "--amp",
        nargs="?",
        const="bf16",
        default="off",
        choices=AMP_DTYPES,
        help="mixed precision; --amp alone means bf16",
    )
    speed.add_argument(
        "--cuda-graph",
        choices=["auto", "on", "off"],
        default="auto",
        help="take a step as one CUDA graph; auto: on a GPU",
    )
    speed.add_argument("--compile", action="store_true", help="torch.compile the network")
    speed.add_argument(
        "--without",
        type=lambda text: text.split(","),
        default=[],
        metavar="NAME,...",
        help=f"turn speed-ups off that are on otherwise: {', '.join(SPEEDUPS)}",
    )


def _different_seeds(text: str) -> tuple[int, ...]:
    seeds = tuple(non_negative_int(part) for part in text.split(","))
    if len(set(seeds)) < len(seeds):
        raise ArgumentTypeError(f"{text!r} has a seed twice")
    return seeds


def _recipe_help(name: str) -> str:
    values = {dataset: getattr(recipe, name) for dataset, recipe in RECIPES.items()}
    return "default: " + ", ".join(f"{value} for {dataset}" for dataset, value in values.items())


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    if args.out is not None:
        check_free(args.out)
    device = resolve_device(args.device, option="--device")
    _refuse_what_cannot_be(args, device)  # before anything is loaded
    name, message = resolve_dataset(args.dataset, args.data_dir)
    if message:
        print(message, flush=True)
    dataset = load_dataset(name, args.data_dir)
    if args.train_limit is not None:
        dataset = dataset.limit_train(args.train_limit)
    similarity = None
    if METHODS[args.method].needs_similarity:
        similarity = similarity_from_arguments(args, dataset.class_names)
    config = _config(args, dataset, similarity, device)
    matrix = None if similarity is None else similarity.matrix
    out = args.out or default_path(config, args.seeds or [args.seed])
    if args.seeds is None:
        print(_conclusion(run(config, dataset, matrix, out), out))
    else:
        print(_conclusion_over_seeds(run_seeds(config, args.seeds, dataset, matrix, out), out))


def _refuse_what_cannot_be(args: Namespace, device: torch.device) -> None:
    Precision(args.amp, device)
    graph_wanted(args.cuda_graph, device, Speedups.without(args.without).fused_optimizer)
    if args.workers and args.loader != "torch":
        raise InputError(f"--workers {args.workers} is for --loader torch; name both or neither")


def _conclusion(summary: dict[str, object], out: Path) -> str:
    shares = [f"{name} {share:.0f} %" for name, share in summary["time_shares"].items()]
    return (
        f"test error {summary['test_error']:.2f} % after {summary['epochs']} epochs, "
        f"{summary['seconds']:.0f} s ({', '.join(shares)}), "
        f"{summary['images_per_second']:,.0f} images/s; see {out / 'curves.png'}"
    )


def _conclusion_over_seeds(summary: dict[str, object], out: Path) -> str:
    error = summary["test_error"]
    spread = "" if error["sd"] is None else f" +- {error['sd']:.2f}"
    return (
        f"test error {error['mean']:.2f}{spread} % (mean and standard deviation of {error['n']} "
        f"seeds) after {summary['epochs']} epochs, {summary['seconds']:.0f} s; see {out}"
    )


def _loader_name(asked: str | None) -> str:
    if asked is not None:
        return asked
    if dali_available():
        return "dali"
    print("loader: torch, as DALI is not installed; the faster one: pip install 'ffdwv_fast[dali]'")
    return "torch"


def _config(
    args: Namespace, dataset: Dataset, similarity: SimilarityResult | None, device: torch.device
) -> TrainConfig:
    def chosen(name: str):
        asked = getattr(args, name)
        return getattr(RECIPES[dataset.name], name) if asked is None else asked

    return TrainConfig(
        method=args.method,
        dataset=dataset.name,
        data_dir=str(args.data_dir),
        train_limit=args.train_limit,
        model=chosen("model"),
        shortcut=args.shortcut,
        epochs=chosen("epochs"),
        batch_size=chosen("batch_size"),
        lr=chosen("lr"),
        weight_decay=chosen("weight_decay"),
        amp=args.amp,
        compile=args.compile,
        cuda_graph=graph_wanted(
            args.cuda_graph, device, Speedups.without(args.without).fused_optimizer
        ),
        without=tuple(args.without),
        loader=_loader_name(args.loader),
        workers=args.workers,
        device=str(device),
        seed=args.seed,
        soft_weight=args.soft_weight,
        similarity=None
        if similarity is None
        else {
            "source": similarity.source,
            "aliases": args.alias,
            "metric": similarity.metric,
            "temperature": similarity.temperature,
            "mean_diagonal": float(similarity.matrix.diagonal().mean()),
        },
    )


if __name__ == "__main__":
    run_command(main)
