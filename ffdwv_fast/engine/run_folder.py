"""What a run leaves behind, in a folder of its own."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from torch import nn

from ffdwv_fast.atomic_file import replaced_file
from ffdwv_fast.engine.config import TrainConfig
from ffdwv_fast.engine.curves import draw_curves
from ffdwv_fast.engine.trainer import EpochRecord
from ffdwv_fast.errors import InputError
from ffdwv_fast.models.peers import members


class RunFolder:
    """config.json, metrics.jsonl, summary.json, model.safetensors and curves.png of one run.

    The second of two networks is peer.safetensors.

    Args:
        path: where; made if it is not there.
        config: written at once.

    Raises:
        InputError: the folder already holds something, or cannot be written.
    """

    def __init__(self, path: Path, config: TrainConfig):
        check_free(path)
        self.path = path
        self.config = config
        try:
            path.mkdir(parents=True, exist_ok=True)
            write_json(path / "config.json", asdict(config))
        except OSError as error:
            raise InputError(
                f"--out {path}: cannot be written ({error.strerror}); name another folder"
            ) from error

    def add_epoch(self, record: EpochRecord) -> None:
        """Append a line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(record._asdict()) + "\n")

    def finish(
        self, records: Sequence[EpochRecord], model: nn.Module, summary: dict[str, object]
    ) -> None:
        """Write the weights, the picture and, last, the summary that marks the run as complete."""
        for name, network in zip(("model", "peer"), members(model), strict=False):
            _save_weights(network, self.path / f"{name}.safetensors")
        c = self.config
        title = f"{c.method}, {c.model} on {c.dataset}, seed {c.seed}"
        draw_curves(records, title, self.path / "curves.png")
        write_json(self.path / "summary.json", summary)


def _save_weights(network: nn.Module, path: Path) -> None:
    from safetensors.torch import save

    weights = {name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()}
    with replaced_file(path) as file:
        file.write(save(weights))


def write_json(path: Path, content: dict[str, object]) -> None:
    """Write a file so that an interruption leaves all of it or nothing."""
    with replaced_file(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())


def check_free(path: Path) -> None:
    """Raise InputError if the path is a file, or a folder with something in it."""
    if path.is_dir():
        if any(path.iterdir()):
            what = "a run" if (path / "config.json").exists() else "files"
            raise InputError(f"--out {path} already holds {what}; name another folder or remove it")
    elif path.exists():
        raise InputError(f"--out {path} is a file; name a folder")


def default_path(config: TrainConfig, seeds: Sequence[int]) -> Path:
    """A new folder under runs/, named by the time and what is run."""
    now = datetime.now().strftime("%Y%m%d-%H%M%S")
    c = config
    which = "seed" + "-".join(map(str, seeds))
    base = Path("runs") / f"{now}-{c.dataset}-{c.model}-{c.method}-{which}"
    path, again = base, 1
    while path.exists():
        again += 1
        path = base.with_name(f"{base.name}-{again}")
    return path
