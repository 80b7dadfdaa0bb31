"""What a run is made of, resolved: every default filled in."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainConfig:
    """The configuration of one run, as config.json holds it.

    Attributes:
        method: a name in METHODS.
        dataset: a name in DATASETS.
        data_dir: folder of the data sets.
        train_limit: how many training images are used; None for all.
        model: a name in MODELS, or another package's network, LIBRARY:NAME.
        shortcut: "A" or "B".
        epochs: passes over the training images.
        batch_size: images per step, of all processes together.
        lr: learning rate of the first epoch.
        weight_decay: of every parameter.
        amp: "off", "bf16" or "fp16".
        compile: whether torch.compile runs the network's steps.
        cuda_graph: whether a step is one CUDA graph.
        without: names in SPEEDUPS that are off.
        loader: a name in LOADERS.
        workers: processes that prepare batches for the torch loader; 0: the trainer's own.
        device: as torch names it.
        seed: of the initial weights, the order and the augmentation.
        soft_weight: weight of the soft-target term in the first epoch.
        similarity: what S was made from (source, metric, temperature, mean diagonal, aliases); None
            for methods without.
        soft_weight_schedule: a name in SOFT_WEIGHT_SCHEDULES.
        loss_scale: multiplies the whole loss.
        validation: how many of the training images are held out and evaluated on instead of the
            test set; None for none.
        teacher: its network (model), its weights (file; None: trained, see engine/teacher.py) and
            the temperature; None for methods without.
        teacher_dir: folder of the teachers that are trained.
        evaluate_every: epochs from one evaluation to the next.
        checkpoint_minutes: within an epoch, from one checkpoint to the next; each epoch ends with
            one.
        sync_batch_norm: whether batch normalisation sees the whole batch of several processes, not
            each its part.
        pretrained: the file with whose weights the network begins, as far as they fit; None for
            none.
        tensorboard: whether the metrics are written for TensorBoard too.
        images: of a data set that is not the same everywhere: class names, shape, mean, std and
            what tells it from another one (see engine/run_images.py); None for the others.
    """

    method: str
    dataset: str
    data_dir: str
    train_limit: int | None
    model: str
    shortcut: str
    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    amp: str
    compile: bool
    cuda_graph: bool
    without: tuple[str, ...]
    loader: str
    workers: int
    device: str
    seed: int
    soft_weight: float
    similarity: dict[str, object] | None
    soft_weight_schedule: str = "constant"
    loss_scale: float = 1.0
    validation: int | None = None
    teacher: dict[str, object] | None = None
    teacher_dir: str = "runs/teachers"
    evaluate_every: int = 1
    checkpoint_minutes: float = 10.0
    sync_batch_norm: bool = False
    pretrained: str | None = None
    tensorboard: bool = False
    images: dict[str, object] | None = None
