"""The options of the training command."""

from argparse import ArgumentTypeError
from pathlib import Path

from ffdwv_fast.command import (
    ArgumentParser,
    non_negative_float,
    non_negative_int,
    positive_float,
    positive_int,
)
from ffdwv_fast.data.loader import LOADERS
from ffdwv_fast.data.reading import DECODERS, IMAGE_SIZE
from ffdwv_fast.data.registry import (
    DATASETS,
)
from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.engine.precision import AMP_DTYPES, AUTO
from ffdwv_fast.engine.recipes import RECIPES
from ffdwv_fast.engine.schedule import SOFT_WEIGHT_SCHEDULES
from ffdwv_fast.engine.speedups import SPEEDUPS
from ffdwv_fast.errors import InputError
from ffdwv_fast.methods import METHODS
from ffdwv_fast.methods.kd import DEFAULT_TEMPERATURE
from ffdwv_fast.models.build import NAMES, refuse_unknown_model
from ffdwv_fast.models.resnet import SHORTCUTS
from ffdwv_fast.semantics.arguments import (
    add_similarity_arguments,
)


def parser() -> ArgumentParser:
    """The command's options."""
    p = ArgumentParser(
        prog="python -m ffdwv_fast.train",
        description="Train a network with word-vector soft labels, or without.",
    )
    method = p.add_argument_group("method")
    method.add_argument("--method", choices=METHODS, default="ffdwv", help="how the net is trained")
    method.add_argument(
        "--soft-weight",
        type=non_negative_float,
        default=1.0,
        metavar="LAMBDA",
        help="weight of the soft-target term",
    )
    method.add_argument(
        "--soft-weight-schedule",
        choices=SOFT_WEIGHT_SCHEDULES,
        default="constant",
        help="how that weight changes from epoch to epoch; linear and cosine end at 0, and on a "
        "GPU go without a CUDA graph",
    )
    method.add_argument(
        "--loss-scale",
        type=positive_float,
        default=1.0,
        metavar="A",
        help="multiplies the whole loss; 0.5 undoes the doubling of the paper's",
    )
    _add_teacher_arguments(p)
    _add_data_arguments(p)
    _add_folder_arguments(p)
    _add_recipe_arguments(p)
    _add_speed_arguments(p)
    _add_run_arguments(p)
    add_similarity_arguments(p)
    return p


def _add_data_arguments(p: ArgumentParser) -> None:
    data = p.add_argument_group("data")
    data.add_argument(
        "--dataset",
        choices=["auto", *DATASETS],
        default="auto",
        help="auto: cifar10 if it is under --data-dir, else digits; folder: your own images, laid "
        "out in --data-dir as train/CLASS/*.jpg and val/CLASS/*.jpg",
    )
    data.add_argument(
        "--data-dir",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="where data sets are, or are downloaded to; of --dataset folder the folder of images",
    )
    data.add_argument(
        "--train-limit",
        type=positive_int,
        metavar="N",
        help="use N training images, the same for every seed (default: all)",
    )
    data.add_argument(
        "--validation",
        type=positive_int,
        metavar="N",
        help="hold N of the training images out, drawn by the seed, and evaluate on them, to make "
        "choices on; such a run does not look at the test set",
    )
    data.add_argument(
        "--loader",
        choices=LOADERS,
        help="who feeds the images (default: dali where it is installed, else gpu, which keeps "
        "them on the device and on a CPU runs there; torch where the native library is missing)",
    )
    data.add_argument(
        "--workers",
        type=non_negative_int,
        default=0,
        metavar="N",
        help="processes that prepare batches for the torch loader; 0: the trainer's own",
    )


def _add_folder_arguments(p: ArgumentParser) -> None:
    folder = p.add_argument_group("images, of --dataset folder")
    folder.add_argument(
        "--image-size",
        type=positive_int,
        metavar="N",
        help="every image's shorter side is resized to N pixels and its middle kept, N x N "
        f"(default: {IMAGE_SIZE})",
    )
    folder.add_argument(
        "--no-flip",
        action="store_true",
        help="never mirror images in training, as a mirrored digit or sign is another one",
    )
    folder.add_argument(
        "--decoder",
        choices=DECODERS,
        help="who reads the files; auto: DALI where it is installed, which reads JPEG on the "
        "device, and Pillow the rest (default: auto)",
    )


def _add_teacher_arguments(p: ArgumentParser) -> None:
    teacher = p.add_argument_group(
        "teacher, of --method kd", f"its --temperature is {DEFAULT_TEMPERATURE:g} unless given"
    )
    teacher.add_argument(
        "--teacher-model",
        type=_model_name,
        metavar="NAME",
        help=f"its network, as --model ({_recipe_help('teacher_model')})",
    )
    teacher.add_argument(
        "--teacher",
        type=Path,
        metavar="FILE",
        help="its weights, a run's model.safetensors (default: trained by the student's recipe, "
        "once for all runs that need the same)",
    )
    teacher.add_argument(
        "--teacher-dir",
        type=Path,
        default=Path(TrainConfig.teacher_dir),
        metavar="DIR",
        help="where teachers that have been trained are kept",
    )


def _add_recipe_arguments(p: ArgumentParser) -> None:
    net = p.add_argument_group("network and recipe")
    net.add_argument(
        "--model", type=_model_name, metavar="NAME", help=f"{NAMES} ({_recipe_help('model')})"
    )
    net.add_argument(
        "--pretrained",
        type=Path,
        metavar="FILE",
        help="begin with the weights of a file, safetensors or a state dict of torch.save: with "
        "every layer that has the same name and shapes there",
    )
    net.add_argument(
        "--shortcut",
        choices=SHORTCUTS,
        default="A",
        help="of our own networks; A: zero padding, B: projection",
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
        help=f"images per step, of all processes together ({_recipe_help('batch_size')})",
    )
    net.add_argument(
        "--lr",
        type=positive_float,
        metavar="RATE",
        help="learning rate; a tenth of it from 50 %% of the run on, a hundredth "
        f"from 75 %% ({_recipe_help('lr')})",
    )
    net.add_argument(
        "--weight-decay",
        type=non_negative_float,
        metavar="W",
        help=f"of every parameter ({_recipe_help('weight_decay')})",
    )


def _add_speed_arguments(p: ArgumentParser) -> None:
    speed = p.add_argument_group("speed", "docs/speed.md says what each does")
    speed.add_argument(
        "--amp",
        nargs="?",
        const=AUTO,
        default="off",
        choices=[AUTO, *AMP_DTYPES],
        help="mixed precision; --amp alone means auto: bf16, but off on a CPU without instructions "
        "for it, which would be slower",
    )
    speed.add_argument(
        "--cuda-graph",
        choices=["auto", "on", "off"],
        default="auto",
        help="take a step as one CUDA graph; auto: on a GPU",
    )
    speed.add_argument(
        "--sync-batch-norm",
        action="store_true",
        help="of several processes on GPUs: batch normalisation sees the whole batch, not each "
        "process's part of it",
    )
    speed.add_argument("--compile", action="store_true", help="torch.compile the network")
    speed.add_argument(
        "--without",
        type=lambda text: text.split(","),
        default=[],
        metavar="NAME,...",
        help=f"turn speed-ups off that are on otherwise: {', '.join(SPEEDUPS)}",
    )


def _add_run_arguments(p: ArgumentParser) -> None:
    how = p.add_argument_group("run")
    how.add_argument(
        "--device", default="auto", help="auto (a GPU if there is one), cpu, cuda or cuda:N"
    )
    seeds = how.add_mutually_exclusive_group()
    seeds.add_argument(
        "--seed",
        type=non_negative_int,
        default=0,
        metavar="N",
        help="of initial weights, order and augmentation",
    )
    seeds.add_argument(
        "--seeds",
        type=_different_seeds,
        metavar="N,N,...",
        help="a run for each, at once on a GPU, one after the other on a CPU",
    )
    how.add_argument(
        "--evaluate-every",
        type=positive_int,
        default=1,
        metavar="N",
        help="epochs from one evaluation to the next; the last epoch is always evaluated",
    )
    how.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the results: new, empty, or with an unfinished run of the same "
        "configuration, which then goes on (default: a new one under runs/)",
    )
    how.add_argument(
        "--resume",
        type=Path,
        metavar="DIR",
        help="go on with the unfinished run in that folder, with the options it was begun with; "
        "takes no others but --json",
    )
    how.add_argument(
        "--checkpoint-minutes",
        type=positive_float,
        default=10.0,
        metavar="M",
        help="minutes from one checkpoint to the next within an epoch; each epoch ends with one",
    )
    how.add_argument(
        "--tensorboard",
        action="store_true",
        help="write the metrics for TensorBoard too, to tensorboard/ in the folder; needs the "
        "[tensorboard] extra",
    )
    how.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object on stdout when the run has ended, what summary.json holds and "
        "its folder, and everything else on stderr; goes with --resume too",
    )


def _model_name(text: str) -> str:
    try:
        refuse_unknown_model(text)
    except InputError as error:
        raise ArgumentTypeError(str(error)) from None
    return text


def _different_seeds(text: str) -> tuple[int, ...]:
    seeds = tuple(non_negative_int(part) for part in text.split(","))
    if len(set(seeds)) < len(seeds):
        raise ArgumentTypeError(f"{text!r} has a seed twice")
    return seeds


def _recipe_help(name: str) -> str:
    values = {dataset: getattr(recipe, name) for dataset, recipe in RECIPES.items()}
    return "default: " + ", ".join(f"{value} for {dataset}" for dataset, value in values.items())
