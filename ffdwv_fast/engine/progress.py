"""What a person sees while a run goes on."""

import sys
import time

from tqdm import tqdm

from ffdwv_fast.engine.metrics import MetricSums
from ffdwv_fast.engine.trainer import EpochRecord


class Progress:
    """A bar with rate, losses, error and time left on a terminal; a line per epoch everywhere.

    Args:
        epochs: of the whole run.
        images_per_epoch: training images.
        live: read the losses at every step. Only where reading waits for nothing: on the CPU.
    """

    def __init__(self, epochs: int, images_per_epoch: int, live: bool):
        self._epochs = epochs
        self._live = live
        self._start = time.perf_counter()
        self._bar = tqdm(
            total=epochs * images_per_epoch,
            unit=" images",
            unit_scale=True,
            dynamic_ncols=True,
            disable=not sys.stderr.isatty(),
            bar_format="{percentage:3.0f}% |{bar}| {rate_fmt}, ETA {remaining}{postfix}",
        )

    def step(self, images: int, sums: MetricSums) -> None:
        """A batch has been trained on."""
        if self._live and not self._bar.disable:
            now = sums.read()
            self._bar.set_postfix_str(
                f"loss {now.loss:.3f} (ce {now.ce:.3f}, kl {now.kl:.3f}), error {now.error:.1f} %",
                refresh=False,
            )
        self._bar.update(images)

    def epoch(self, record: EpochRecord) -> None:
        """An epoch has ended."""
        done = record.epoch / self._epochs
        left = (time.perf_counter() - self._start) * (1 - done) / done
        kl = "" if record.train_kl is None else f", kl {record.train_kl:.3f}"
        line = (
            f"epoch {record.epoch:>{len(str(self._epochs))}}/{self._epochs}  lr {record.lr:.4g}  "
            f"loss {record.train_loss:.3f} (ce {record.train_ce:.3f}{kl})  "
            f"train error {record.train_error:5.2f} %  test error {record.test_error:5.2f} %  "
            f"{record.images_per_second:,.0f} images/s  ETA {tqdm.format_interval(left)}"
        )
        self._bar.write(line, file=sys.stdout)
        sys.stdout.flush()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.close()
