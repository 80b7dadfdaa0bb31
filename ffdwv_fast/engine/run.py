"""One run from its configuration to its folder."""

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ffdwv_fast.data.dataset import Dataset
from ffdwv_fast.data.loader import Loader, make_loader
from ffdwv_fast.engine import distributed
from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.engine.costs import costs
from ffdwv_fast.engine.environment import hardware, versions
from ffdwv_fast.engine.final_metrics import final_metrics
from ffdwv_fast.engine.log import tell
from ffdwv_fast.engine.memory import fitting_memory
from ffdwv_fast.engine.network import FEW_IMAGES, network_of, why_unfit
from ffdwv_fast.engine.precision import Precision
from ffdwv_fast.engine.pretrained import Pretrained, load_pretrained
from ffdwv_fast.engine.progress import Progress
from ffdwv_fast.engine.random_state import random_state, restore_random_state
from ffdwv_fast.engine.run_folder import CHECKPOINT, ReadOnlyRunFolder, RunFolder
from ffdwv_fast.engine.schedule import soft_weights
from ffdwv_fast.engine.speedups import Speedups
from ffdwv_fast.engine.step import EagerStep
from ffdwv_fast.engine.step_body import StepBody
from ffdwv_fast.engine.step_graph import CudaGraphRecorder, GraphStep
from ffdwv_fast.engine.stop import StopRequest
from ffdwv_fast.engine.teacher import load_teacher, teacher_weights
from ffdwv_fast.engine.trainer import EpochRecord, Trainer, batch_sizes
from ffdwv_fast.errors import InputError
from ffdwv_fast.methods import METHODS, Method
from ffdwv_fast.models.peers import Peers, members

# Evaluation launches operator by operator: on a GPU, small batches would take longer than the
# training steps of their epoch.
GPU_EVALUATION_BATCH = 1024
# Steps from one question to the other processes, whether to stop or save, to the next; a GPU's
# host runs ahead of it and should not wait often.
STEPS_BETWEEN_QUESTIONS = {"cpu": 1, "cuda": 20}


class Run:
    """A run that goes on step by step, so that several can take turns.

    Several processes (see engine/distributed.py) make it together, and rank 0 writes the folder,
    which all must be able to read.

    Args:
        config: what to do.
        dataset: the data set of that name, already limited to `config.train_limit`; the validation
            images, if any, are taken from it here.
        similarity: S, [C, C] float32, for methods that need it and to compare the confusions with;
            None, for the others, leaves the comparison out.
        out: the folder; free, or with an unfinished run of this configuration, which then goes on
            as if it had never stopped.
        name: in the lines of its progress, where others go on at the same time.
        stop: asked after every step; None: nobody will.

    Raises:
        InputError: something in the configuration does not fit.
    """

    def __init__(
        self,
        config: TrainConfig,
        dataset: Dataset,
        similarity: Tensor | None,
        out: Path,
        name: str = "",
        stop: StopRequest | None = None,
    ):
        self.config = config
        self._dataset = dataset
        self._similarity = similarity
        self._final_metrics: dict[str, float | None] = {}
        self._device = distributed.own_device(torch.device(config.device))
        self._stop = stop or StopRequest()
        model = _initial_model(config, dataset)
        pretrained = None
        if config.pretrained is not None and not (out / CHECKPOINT).exists():  # which goes first
            pretrained = _pretrained(model, Path(config.pretrained))
        self.trainer = _trainer(config, dataset, similarity, self._device, self._stop, model)
        if not config.sync_batch_norm:
            _refuse_unfit_batches(self.trainer, dataset)
        networks = members(self.trainer.model)
        self._folder = (RunFolder if distributed.is_first() else ReadOnlyRunFolder)(out, config)
        if pretrained is not None:
            self._folder.save_pretrained(pretrained)
        self._processes = distributed.world_size()
        self.parameters = sum(p.numel() for p in networks[0].parameters())
        self._records: list[EpochRecord] = []
        self._name = name
        self._start = self._last_checkpoint = time.perf_counter()
        self._seconds = 0.0
        print(
            f"{config.method}: {'two of ' if len(networks) > 1 else ''}{config.model} "
            f"({self.parameters:,} parameters) on {config.dataset}, "
            f"{self.trainer.train_loader.images_per_epoch:,} training images, "
            f"{config.loader} loader, "
            f"{self._device}{f' x {self._processes}' if self._processes > 1 else ''}, "
            f"amp {config.amp}; results in {out}",
            flush=True,
        )
        with self._fitting_memory():
            self.trainer.prepare()
        self._resume()

    def steps(self) -> Iterator[None]:
        """Train, stopping after each step; the folder has an epoch as soon as it has ended.

        Raises:
            InputError: training diverged, or the GPU's memory does not suffice.
            Stopped: a stop was asked for; the run can be gone on with.
        """
        trainer = self.trainer
        progress = Progress(
            trainer.total_epochs,
            trainer.train_loader.images_per_epoch,
            live=self._device.type == "cpu" and self._processes == 1,
            with_kl=trainer.method.has_soft_term,
            name=self._name if distributed.is_first() else "another process",
            done=trainer.epoch * trainer.train_loader.images_per_epoch + trainer.step.sums.images,
        )
        try:
            with self._fitting_memory():
                for record in trainer.train(progress):
                    if record is not None:
                        self._records.append(record)
                        self._folder.save_epochs(self._records)
                        progress.epoch(record)
                    self._checkpoint_if_due(record is not None)
                    yield None
                self._measure()
        finally:
            self._seconds = time.perf_counter() - self._start
            progress.close()
            self.close()

    def save(self) -> None:
        """Write a checkpoint; several processes have to at the same step.

        Raises:
            InputError: the loss has become infinite or NaN; the checkpoint before is kept.
        """
        self.trainer.checked_metrics()
        tensors, training = self.trainer.state()
        drawn, random = random_state(self._device)
        state = {
            "training": training,
            "random": random,
            "epochs": [record._asdict() for record in self._records],
            "seconds": time.perf_counter() - self._start,
            "stopwatch": self.trainer.stopwatch.seconds,
            "processes": self._processes,
        }
        self._folder.save_checkpoint({**tensors, **drawn}, state)
        self._last_checkpoint = time.perf_counter()

    def close(self) -> None:
        """Free what the loaders hold; calling it twice is fine."""
        self.trainer.train_loader.close()
        self.trainer.test_loader.close()

    def finish(self) -> dict[str, object]:
        """Write weights, picture and summary.

        Returns:
            The summary, as summary.json holds it.
        """
        records = self._records
        summary = {
            **_errors(records[-1]),
            **self._final_metrics,
            "train_error": records[-1].train_error,
            "epochs": len(records),
            "parameters": self.parameters,
            **self._costs(),
            "images_per_second": _typical_rate(records),
            "seconds": self._seconds,
            "time_shares": self.trainer.stopwatch.shares(self._seconds),
            "seeds": [self.config.seed],
            **self._skipped(),
            "versions": versions(),
            "hardware": {**hardware(self._device), "processes": self._processes},
        }
        self._folder.finish(records, self.trainer.model, summary)
        distributed.barrier()  # nobody has finished before the results are there
        return summary

    def _fitting_memory(self) -> AbstractContextManager[None]:
        alone = self._processes == 1
        return fitting_memory(self.config.batch_size, self.trainer.try_step if alone else None)

    def _measure(self) -> None:
        """What is measured once, of the first network."""
        trainer = self.trainer
        if trainer.predictions is None:  # the last epoch ended in another process
            trainer.evaluate()
        with trainer.stopwatch.on("evaluation"):
            metrics = final_metrics(
                *trainer.predictions, self._dataset.superclasses, self._similarity
            )
        self._final_metrics = {
            f"{trainer.evaluated_on}_{name}": value for name, value in metrics._asdict().items()
        }

    def _costs(self) -> dict[str, int]:
        trainer = self.trainer
        return costs(trainer.model, trainer.method, self._dataset.image_shape)._asdict()

    def _skipped(self) -> dict[str, int]:
        """How many image files could not be read, of a data set that is made of such."""
        origin = self._dataset.origin
        return {} if origin is None else {"skipped_images": origin.skipped}

    def _resume(self) -> None:
        """Go on where the folder's checkpoint is, if there is one."""
        distributed.barrier()  # rank 0 has refused a folder that it cannot use
        found = self._folder.checkpoint()
        self._refuse_different(None if found is None else found[1])
        if found is None:
            return
        tensors, state = found
        drawn = {n: tensors.pop(n) for n in list(tensors) if n.startswith("random.")}
        try:
            self.trainer.load(tensors, state["training"])
            restore_random_state(drawn, state["random"], self._device)
            self._records = [EpochRecord(**record) for record in state["epochs"]]
            self._start -= state["seconds"]
            self.trainer.stopwatch.seconds.update(state["stopwatch"])
        except (KeyError, TypeError, ValueError, RuntimeError):
            raise InputError(
                f"--out {self._folder.path}: its checkpoint is of another version or network; name "
                "another folder"
            ) from None
        self._folder.save_epochs(self._records)
        epoch, batch = self.trainer.epoch, self.trainer.batch
        print(f"resumed after {epoch} epochs{f' and {batch} steps' if batch else ''}", flush=True)
        before = state.get("processes", 1)
        if before != self._processes:
            print(
                f"it was begun with {before} processes and goes on with {self._processes}: the "
                "batches are the same, the rounding of their sums and what batch normalisation "
                "sees of them are not",
                flush=True,
            )

    def _refuse_different(self, state: dict[str, object] | None) -> None:
        """Refuse a checkpoint that is not rank 0's."""
        training = {} if state is None else state.get("training", {})
        where = [training.get(name) for name in ("epoch", "batch")]
        if where != distributed.of_first(where):
            raise InputError(
                f"--out {self._folder.path}: another checkpoint is there than for the first "
                "process; name a folder that all machines share"
            )

    def _checkpoint_if_due(self, epoch_ended: bool) -> None:
        every = 1 if self._processes == 1 else STEPS_BETWEEN_QUESTIONS[self._device.type]
        if not epoch_ended and self.trainer.batch % every:
            return
        since = time.perf_counter() - self._last_checkpoint
        due = since > 60 * self.config.checkpoint_minutes
        number, due = distributed.largest([self._stop.signal or 0, due])
        if epoch_ended or number or due:
            self.save()
        if number:
            self._stop.signal = number
        if number or self._processes == 1:  # what has come since is for the next question
            self._stop.check()


def run(
    config: TrainConfig,
    dataset: Dataset,
    similarity: Tensor | None,
    out: Path,
    stop: StopRequest | None = None,
) -> dict[str, object]:
    """Train as configured and leave the results in a folder: see `Run`.

    Returns:
        The summary, as summary.json holds it.
    """
    one = Run(config, dataset, similarity, out, stop=stop)
    for _ in one.steps():
        pass
    return one.finish()


def _initial_model(config: TrainConfig, dataset: Dataset) -> nn.Module:
    """What is trained, on the CPU: a network, or several of different initial weights."""
    torch.manual_seed(config.seed)
    networks = [_network(config, dataset) for _ in range(METHODS[config.method].networks)]
    return networks[0] if len(networks) == 1 else Peers(networks)


def _network(config: TrainConfig, dataset: Dataset) -> nn.Module:
    return network_of(config, dataset.num_classes, dataset.image_shape)


def _pretrained(model: nn.Module, file: Path) -> Pretrained:
    """Give each network what fits of a file, and say what that is."""
    found = [load_pretrained(network, file) for network in members(model)]
    tell(str(found[0]), sys.stdout)
    return found[0]


def _trainer(
    config: TrainConfig,
    dataset: Dataset,
    similarity: Tensor | None,
    device: torch.device,
    stop: StopRequest,
    model: nn.Module,
) -> Trainer:
    speedups = Speedups.without(config.without)
    precision = Precision(config.amp, device)
    model = model.to(device)
    # After the model: so methods of the same seed begin with the same weights.
    method = _method(config, dataset, similarity, stop).to(device)
    weights = soft_weights(config.soft_weight, config.soft_weight_schedule, config.epochs)
    if config.validation is not None:
        dataset = dataset.hold_out(config.validation, config.seed)
    body = StepBody(
        model,
        method,
        precision,
        config.weight_decay,
        speedups,
        config.compile,
        config.sync_batch_norm,
    )
    return Trainer(
        model,
        method,
        GraphStep(body, CudaGraphRecorder(device)) if config.cuda_graph else EagerStep(body),
        _loader(config, dataset, device, train=True),
        _loader(config, dataset, device, train=False),
        precision,
        epochs=config.epochs,
        lr=config.lr,
        soft_weights=None if config.soft_weight_schedule == "constant" else weights,
        evaluated_on="test" if config.validation is None else "validation",
        evaluate_every=config.evaluate_every,
        check_every_step=device.type == "cpu",
    )


def _refuse_unfit_batches(trainer: Trainer, dataset: Dataset) -> None:
    """Refuse batches that are too small for the network to normalise."""
    network = members(trainer.model)[0]
    for size in batch_sizes(trainer.train_loader):
        if size >= FEW_IMAGES:
            continue
        reason = why_unfit(network, dataset.num_classes, dataset.image_shape, size)
        if reason is not None:
            raise InputError(
                f"--batch-size {trainer.train_loader.global_batch_size}: a batch of {size} images, "
                f"which then comes, does not do for the network ({reason}); use another size"
            )


def _method(
    config: TrainConfig, dataset: Dataset, similarity: Tensor | None, stop: StopRequest
) -> Method:
    """The method of a configuration, with the teacher it needs."""
    taught = {}
    method = METHODS[config.method]
    if method.needs_teacher:

        def train_teacher(teacher: TrainConfig, images: Dataset, _: None, out: Path) -> object:
            return run(teacher, images, similarity, out, stop)

        weights = teacher_weights(config, dataset, train_teacher)
        network = _network(replace(config, model=config.teacher["model"]), dataset)
        taught["teacher"] = load_teacher(network, weights)
        taught["temperature"] = config.teacher["temperature"]
    return method(
        similarity if method.needs_similarity else None,
        config.soft_weight,
        loss_scale=config.loss_scale,
        seed=config.seed,
        **taught,
    )


def _errors(last: EpochRecord) -> dict[str, float]:
    """The errors on the images evaluated on, under the name of these: no other is known."""
    name, error = last.evaluated_error  # after the last epoch there is one
    peer = {} if last.peer_error is None else {"peer_error": last.peer_error}
    return {f"{name}_error": error, **peer}


def _loader(config: TrainConfig, dataset: Dataset, device: torch.device, train: bool) -> Loader:
    on_gpu, batch_size = device.type == "cuda", config.batch_size
    if on_gpu and not train:
        batch_size = max(batch_size, GPU_EVALUATION_BATCH * distributed.world_size())
    return make_loader(
        config.loader,
        dataset.train if train else dataset.test,
        dataset,
        batch_size=batch_size,
        device=device,
        seed=config.seed,
        augment=train,
        half=on_gpu and config.amp != "off",
        workers=config.workers,
        shard=distributed.shard(),
    )


def _typical_rate(records: list[EpochRecord]) -> float:
    """The median of images/s over the epochs; the first, which warms up, counts only if alone."""
    return statistics.median(r.images_per_second for r in records[1:] or records)
