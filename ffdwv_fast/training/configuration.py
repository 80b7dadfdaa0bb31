"""What the options of the training command come to, and what they cannot."""

from argparse import Namespace
from collections.abc import Sequence

import torch

from ffdwv_fast.data.dali_loader import dali_available
from ffdwv_fast.data.image_op import why_not_on
from ffdwv_fast.data.reading import IMAGE_SIZE, Reading
from ffdwv_fast.data.registry import (
    resolve_dataset,
)
from ffdwv_fast.data.traits import TRAITS
from ffdwv_fast.devices import resolve_device
from ffdwv_fast.engine import distributed
from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.engine.precision import Precision, chosen_amp
from ffdwv_fast.engine.recipes import RECIPES
from ffdwv_fast.engine.run_folder import (
    CHECKPOINT,
)
from ffdwv_fast.engine.speedups import Speedups
from ffdwv_fast.engine.step_graph import graph_wanted
from ffdwv_fast.engine.tensorboard_log import refuse_without_tensorboard
from ffdwv_fast.errors import InputError
from ffdwv_fast.methods import METHODS
from ffdwv_fast.methods.kd import DEFAULT_TEMPERATURE
from ffdwv_fast.models.build import is_of_library
from ffdwv_fast.semantics.arguments import (
    SimilarityResult,
    similarity_from_arguments,
)
from ffdwv_fast.semantics.similarity_matrix import AUTO_PREFIX, parse_temperature
from ffdwv_fast.training.options import parser


def configuration(argv: list[str]) -> TrainConfig:
    """What `main` would run, without loading images or training a teacher.

    Raises:
        InputError: as `main`, of what is wrong with the options themselves.
    """
    args = parser().parse_args(argv)
    device = resolve_device(args.device, option="--device")
    refuse_what_cannot_be(args, device)
    name, _ = resolve_dataset(args.dataset, args.data_dir)
    if name not in TRAITS:
        raise InputError(f"--dataset {name}: its configuration depends on its images; use another")
    similarity = similarity_of(args, TRAITS[name].class_names)
    return config_of(args, name, similarity, device, None)


def similarity_of(args: Namespace, class_names: Sequence[str]) -> SimilarityResult:
    """S for the methods that need it, and for all to compare their confusions with."""
    if METHODS[args.method].needs_teacher:  # whose temperature is not S's
        args = Namespace(**{**vars(args), "temperature": None})
    return similarity_from_arguments(args, class_names)


def refuse_what_cannot_be(args: Namespace, device: torch.device) -> None:
    """Raise InputError for options that go neither together nor with the device."""
    Precision(chosen_amp(args.amp, device), device)
    _graph_wanted(args, device)
    _refuse_options_of_other_methods(args)
    _refuse_options_of_other_networks(args)
    if args.sync_batch_norm and device.type != "cuda":
        raise InputError(
            f"--sync-batch-norm works on GPUs only, not on {device}; leave it out, and each "
            "process normalises its part of a batch"
        )
    if args.seeds is not None and distributed.world_size() > 1:
        raise InputError(
            f"--seeds with {distributed.world_size()} processes: they make one run together; use "
            "--seed, or start without torchrun"
        )
    _refuse_options_of_folders(args)
    if args.workers and args.loader != "torch":
        raise InputError(f"--workers {args.workers} is for --loader torch; name both or neither")
    _refuse_weights_that_are_not_there(args)
    if args.tensorboard:
        refuse_without_tensorboard()


def _refuse_weights_that_are_not_there(args: Namespace) -> None:
    goes_on = args.out is not None and (args.out / CHECKPOINT).exists()  # with its own
    if args.pretrained is not None and not goes_on and not args.pretrained.is_file():
        raise InputError(
            f"--pretrained {args.pretrained}: there is no such file; nothing is downloaded, give "
            "one that you have"
        )


def _refuse_options_of_other_networks(args: Namespace) -> None:
    models = [args.model, *([args.teacher_model] if METHODS[args.method].needs_teacher else [])]
    if args.shortcut != "A" and all(name is not None and is_of_library(name) for name in models):
        raise InputError(
            f"--shortcut {args.shortcut} is for this package's own networks, not for "
            f"{', '.join(models)}; leave it out"
        )


def _graph_wanted(args: Namespace, device: torch.device) -> bool:
    fused_optimizer = Speedups.without(args.without).fused_optimizer
    fixed_loss = args.soft_weight_schedule == "constant"
    processes = distributed.world_size()
    return graph_wanted(args.cuda_graph, device, fused_optimizer, fixed_loss, processes)


def _refuse_options_of_folders(args: Namespace) -> None:
    given = {
        f"--image-size {args.image_size}": args.image_size is not None,
        "--no-flip": args.no_flip,
        f"--decoder {args.decoder}": args.decoder is not None,
    }
    option = next((option for option, is_given in given.items() if is_given), None)
    if option is not None and args.dataset != "folder":
        raise InputError(f"{option} is for --dataset folder; name both or neither")


def reading_of(args: Namespace, device: torch.device) -> Reading:
    """How a folder's images are to be read."""
    return Reading(
        image_size=args.image_size or IMAGE_SIZE,
        flip=not args.no_flip,
        decoder=args.decoder or "auto",
        device=distributed.own_device(device),
        quiet=not distributed.is_first(),
    )


def _refuse_options_of_other_methods(args: Namespace) -> None:
    method = METHODS[args.method]
    if args.soft_weight_schedule != "constant" and not method.uses_soft_weight:
        raise InputError(
            f"--soft-weight-schedule {args.soft_weight_schedule}: {args.method} has no soft-target "
            "term to weigh; leave it out"
        )
    if method.needs_teacher:
        _teacher_temperature(args.temperature)
    for option, value in (("--teacher", args.teacher), ("--teacher-model", args.teacher_model)):
        if value is not None and not method.needs_teacher:
            raise InputError(f"{option} {value}: {args.method} has no teacher; use --method kd")
    if args.teacher is not None and not args.teacher.is_file():
        raise InputError(
            f"--teacher {args.teacher}: there is no such file; give a run's model.safetensors, or "
            "leave it out to have a teacher trained"
        )


def _teacher_temperature(asked: str | None) -> float:
    if asked is None:
        return DEFAULT_TEMPERATURE
    if asked.startswith(AUTO_PREFIX):
        raise InputError(
            f"--temperature {asked}: a mean diagonal is S's; with a teacher give a number above 0"
        )
    temperature, _ = parse_temperature(asked, class_count=2)
    return temperature


def _loader_name(asked: str | None, device: torch.device) -> str:
    if asked is not None:
        return asked
    if dali_available():
        return "dali"
    reason = why_not_on(device)
    name = "gpu" if reason is None else "torch"
    gpu = "" if reason is None else f", nor the gpu loader: {reason}"
    print(f"loader: {name}, as DALI is not installed (pip install 'ffdwv_fast[dali]'){gpu}")
    return name


def config_of(
    args: Namespace,
    dataset: str,
    similarity: SimilarityResult,
    device: torch.device,
    images: dict[str, object] | None,
) -> TrainConfig:
    """The configuration of a run, every default filled in.

    Args:
        args: of `parser`.
        dataset: a name in DATASETS.
        similarity: S, and what it was made from.
        device: of the run.
        images: see `TrainConfig.images`.
    """

    def chosen(name: str):
        asked = getattr(args, name)
        return getattr(RECIPES[dataset], name) if asked is None else asked

    return TrainConfig(
        method=args.method,
        dataset=dataset,
        data_dir=str(args.data_dir),
        train_limit=args.train_limit,
        model=chosen("model"),
        shortcut=args.shortcut,
        epochs=chosen("epochs"),
        batch_size=chosen("batch_size"),
        lr=chosen("lr"),
        weight_decay=chosen("weight_decay"),
        amp=chosen_amp(args.amp, device),
        compile=args.compile,
        cuda_graph=_graph_wanted(args, device),
        without=tuple(args.without),
        loader=_loader_name(args.loader, device),
        workers=args.workers,
        device=str(device),
        seed=args.seed,
        soft_weight=args.soft_weight,
        similarity=None
        if not METHODS[args.method].needs_similarity
        else {
            "source": similarity.source,
            "aliases": [f"{name}={words}" for name, words in similarity.aliases.items()],
            "metric": similarity.metric,
            "temperature": similarity.temperature,
            "mean_diagonal": float(similarity.matrix.diagonal().mean()),
        },
        soft_weight_schedule=args.soft_weight_schedule,
        loss_scale=args.loss_scale,
        validation=args.validation,
        teacher=None
        if not METHODS[args.method].needs_teacher
        else {
            "model": chosen("teacher_model"),
            "file": None if args.teacher is None else str(args.teacher),
            "temperature": _teacher_temperature(args.temperature),
        },
        teacher_dir=str(args.teacher_dir),
        evaluate_every=args.evaluate_every,
        checkpoint_minutes=args.checkpoint_minutes,
        sync_batch_norm=args.sync_batch_norm,
        pretrained=None if args.pretrained is None else str(args.pretrained),
        tensorboard=args.tensorboard,
        images=images,
    )
