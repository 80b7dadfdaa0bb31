"""python -m ffdwv_fast.train: train a network with word-vector soft labels, or without."""

from ffdwv_fast.extras import EVERY_RUN, exit_without

if __name__ == "__main__":  # what is imported next needs them
    exit_without(*EVERY_RUN)

import json
import shlex
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import replace
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
from ffdwv_fast.data.image_op import why_not_on
from ffdwv_fast.data.loader import LOADERS
from ffdwv_fast.data.reading import DECODERS, IMAGE_SIZE, Reading
from ffdwv_fast.data.registry import (
    DATASETS,
    class_names_of,
    load_dataset,
    resolve_dataset,
)
from ffdwv_fast.data.traits import TRAITS
from ffdwv_fast.devices import resolve_device
from ffdwv_fast.engine import distributed
from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.engine.json_file import read_object, write_json
from ffdwv_fast.engine.log import tell
from ffdwv_fast.engine.precision import AMP_DTYPES, AUTO, Precision, chosen_amp
from ffdwv_fast.engine.recipes import RECIPES
from ffdwv_fast.engine.run import run
from ffdwv_fast.engine.run_folder import (
    CHECKPOINT,
    COMMAND,
    default_path,
    refuse_another_run,
    refuse_if_taken,
)
from ffdwv_fast.engine.run_images import record_of
from ffdwv_fast.engine.schedule import SOFT_WEIGHT_SCHEDULES
from ffdwv_fast.engine.seeds import run_seeds, seed_folder
from ffdwv_fast.engine.speedups import SPEEDUPS, Speedups
from ffdwv_fast.engine.step_graph import graph_wanted
from ffdwv_fast.engine.stop import Stopped, StopRequest
from ffdwv_fast.engine.tensorboard_log import refuse_without_tensorboard
from ffdwv_fast.errors import InputError
from ffdwv_fast.folder_lock import locked_folder
from ffdwv_fast.methods import METHODS
from ffdwv_fast.methods.kd import DEFAULT_TEMPERATURE
from ffdwv_fast.models.build import NAMES, is_of_library, refuse_unknown_model
from ffdwv_fast.models.resnet import SHORTCUTS
from ffdwv_fast.semantics.arguments import (
    SimilarityResult,
    add_similarity_arguments,
    similarity_from_arguments,
)
from ffdwv_fast.semantics.similarity_matrix import AUTO_PREFIX, parse_temperature


def parser() -> ArgumentParser:
    """The command's options."""
    p = ArgumentParser(prog="python -m ffdwv_fast.train", description=__doc__)
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
    _add_folder_arguments(p)
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
    add_similarity_arguments(p)
    return p


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


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    argv = sys.argv[1:] if argv is None else argv
    args = parser().parse_args(argv)
    if args.resume is not None:
        argv, args = _begun_with(args)
    with redirect_stdout(sys.stderr) if args.json else nullcontext():
        out = _run(argv, args)
    if args.json and out is not None:
        summary = read_object(out / "summary.json", "--out", "name another folder")
        print(json.dumps({"folder": str(out), **summary}, indent=2))


def _run(argv: list[str], args: Namespace) -> Path | None:
    """Train, perhaps as one of several processes; the first one gets the results' folder."""
    started = distributed.launch()
    first = started is None or started.rank == 0
    if _is_finished_already(args):
        if first:
            print(f"the run in {args.out} has finished")
        return args.out if first else None
    device = resolve_device(args.device, option="--device")
    with distributed.joined(device):
        out = _train(argv, args, device)
    return out if first else None


def _train(argv: list[str], args: Namespace, device: torch.device) -> Path:
    """Train, together with the processes that have joined; the folder of the results."""
    if args.out is not None:
        refuse_if_taken(args.out)
    _refuse_what_cannot_be(args, device)  # before anything is loaded
    name, message = resolve_dataset(args.dataset, args.data_dir)
    if message:
        print(message, flush=True)
    # Before images are read, which may take long: words may be missing.
    similarity = _similarity(args, class_names_of(name, args.data_dir))
    dataset = load_dataset(name, args.data_dir, _reading(args, device))
    if args.train_limit is not None:
        dataset = dataset.limit_train(args.train_limit)
    if args.validation is not None:
        dataset.hold_out(args.validation, args.seed)  # refuses what leaves nothing to train on
    config = _config(args, name, similarity, device, record_of(dataset))
    if args.amp == AUTO and config.amp == "off":
        print("--amp: off, since this CPU would emulate bf16; --amp bf16 forces it", flush=True)
    matrix = similarity.matrix
    out = distributed.of_first(args.out or default_path(config, args.seeds or [args.seed]))
    refuse_another_run(out, config)
    for seed in args.seeds or ():
        refuse_another_run(seed_folder(out, seed), replace(config, seed=seed))
    distributed.barrier()  # what the others have looked at is not what the first writes now
    stop = StopRequest()
    try:
        with _kept_to_first(out), stop.listening():
            if distributed.is_first():
                _keep_command(argv, out)
            if args.seeds is None:
                tell(_conclusion(run(config, dataset, matrix, out, stop), out), sys.stdout)
            else:
                summary = run_seeds(config, args.seeds, dataset, matrix, out, stop)
                tell(_conclusion_over_seeds(summary, out), sys.stdout)
    except Stopped as stopped:
        if distributed.is_first():
            command = f"{_program()} -m ffdwv_fast.train --resume {shlex.quote(str(out))}"
            tell(f"{stopped}; go on with: {command}", sys.stderr)
        raise SystemExit(128 + stopped.signal) from None
    return out


def _kept_to_first(out: Path) -> AbstractContextManager[None]:
    """Keeps the folder to these processes, for which the first one asks."""
    if not distributed.is_first():
        return nullcontext()
    return locked_folder(out, "--out", "wait for it, or name another folder")


def _is_finished_already(args: Namespace) -> bool:
    """Whether torchrun has restarted processes whose run had finished.

    Raises:
        InputError: torchrun would restart processes that would not find their run.
    """
    restarts, most = distributed.restarts()
    if most and args.out is None:
        raise InputError(
            f"torchrun --max-restarts {most} needs --out DIR, where a restarted process finds the "
            "run; name one"
        )
    return restarts > 0 and (args.out / "summary.json").exists()


def _program() -> str:
    processes = distributed.world_size()
    return "python" if processes == 1 else f"torchrun --nproc-per-node {processes}"


def _begun_with(args: Namespace) -> tuple[list[str], Namespace]:
    """The arguments that the run to resume was begun with, and what they mean."""
    folder = args.resume
    if args != parser().parse_args(["--resume", str(folder), *(["--json"] if args.json else [])]):
        raise InputError(
            f"--resume {folder} takes no other options but --json: it goes on with those that the "
            "run was begun with; leave the others out"
        )
    try:
        argv = json.loads((folder / COMMAND).read_text())
        if not isinstance(argv, list) or not all(isinstance(word, str) for word in argv):
            raise ValueError("it is no list of arguments")
    except (OSError, ValueError) as error:
        raise InputError(
            f"--resume {folder}: its {COMMAND} cannot be read ({error}); name the folder of a run "
            "that has not finished"
        ) from None
    begun = parser().parse_args(argv)
    begun.out, begun.json = folder, args.json
    return argv, begun


def _keep_command(argv: Sequence[str], out: Path) -> None:
    """For --resume."""
    try:
        write_json(out / COMMAND, argv)
    except OSError as error:
        raise InputError(
            f"--out {out}: cannot be written ({error.strerror}); name another folder"
        ) from error


def configuration(argv: list[str]) -> TrainConfig:
    """What `main` would run, without loading images or training a teacher.

    Raises:
        InputError: as `main`, of what is wrong with the options themselves.
    """
    args = parser().parse_args(argv)
    device = resolve_device(args.device, option="--device")
    _refuse_what_cannot_be(args, device)
    name, _ = resolve_dataset(args.dataset, args.data_dir)
    if name not in TRAITS:
        raise InputError(f"--dataset {name}: its configuration depends on its images; use another")
    similarity = _similarity(args, TRAITS[name].class_names)
    return _config(args, name, similarity, device, None)


def _similarity(args: Namespace, class_names: Sequence[str]) -> SimilarityResult:
    """S for the methods that need it, and for all to compare their confusions with."""
    if METHODS[args.method].needs_teacher:  # whose temperature is not S's
        args = Namespace(**{**vars(args), "temperature": None})
    return similarity_from_arguments(args, class_names)


def _refuse_what_cannot_be(args: Namespace, device: torch.device) -> None:
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


def _reading(args: Namespace, device: torch.device) -> Reading:
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


def _conclusion(summary: dict[str, object], out: Path) -> str:
    shares = [f"{name} {share:.0f} %" for name, share in summary["time_shares"].items()]
    return (
        f"{_errors_of(summary, '{:.2f} %'.format)} after {summary['epochs']} epochs, "
        f"{summary['seconds']:.0f} s ({', '.join(shares)}), "
        f"{summary['images_per_second']:,.0f} images/s; see {out / 'curves.png'}"
        f"\n{_final_metrics_of(summary)}"
    )


def _final_metrics_of(summary: dict[str, object]) -> str:
    """The metrics beside the error and the costs, of a run or as means over seeds."""
    images = "validation" if "validation_error" in summary else "test"
    texts = {
        "nll": "NLL {:.3f}",
        "ece": "ECE {:.2f} %",
        "top5_error": "top-5 error {:.2f} %",
        "errors_in_superclass": "{:.1f} % of the errors inside the superclass",
        "confusion_correlation": "rank correlation of confusions and S {:.2f}",
    }
    parts = []
    for name, text in texts.items():
        value = summary.get(f"{images}_{name}")
        if value is not None:
            parts.append(text.format(value["mean"] if isinstance(value, dict) else value))
    costs = (summary[name] / 1e8 for name in ("train_flops", "test_flops"))
    parts.append("TrCost {:.3g}, TeCost {:.3g} (1e8 FLOPs an image)".format(*costs))
    return ", ".join(parts)


def _conclusion_over_seeds(summary: dict[str, object], out: Path) -> str:
    def text(error: dict[str, float | int | None]) -> str:
        spread = "" if error["sd"] is None else f" +- {error['sd']:.2f}"
        return f"{error['mean']:.2f}{spread} %"

    return (
        f"{_errors_of(summary, text)} (mean and standard deviation of {len(summary['seeds'])} "
        f"seeds) after {summary['epochs']} epochs, {summary['seconds']:.0f} s; see {out}"
        f"\n{_final_metrics_of(summary)}"
    )


def _errors_of(summary: dict[str, object], text: Callable[..., str]) -> str:
    peer = f" (its peer's {text(summary['peer_error'])})" if "peer_error" in summary else ""
    if "validation_error" in summary:
        return f"validation error {text(summary['validation_error'])}{peer}"
    return f"test error {text(summary['test_error'])}{peer}"


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


def _config(
    args: Namespace,
    dataset: str,
    similarity: SimilarityResult,
    device: torch.device,
    images: dict[str, object] | None,
) -> TrainConfig:
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


if __name__ == "__main__":
    run_command(main)
