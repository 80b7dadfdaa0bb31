"""What a person sees while a run goes on."""

import sys
import time

from tqdm import tqdm

from ffdwv_fast.engine.log import log_may_be_full
from ffdwv_fast.engine.metrics import MetricSums
from ffdwv_fast.engine.trainer import EpochRecord


class Progress:
    """A line for each epoch; on a terminal also a bar with rate, losses, error and time left.

    Args:
        epochs: of the whole run.
        images_per_epoch: training images.
        live: read the losses at every step. Only where reading waits for nothing: on the CPU, in a
            process that is alone.
        with_kl: whether the loss has a soft-target term.
        done: images of the whole run that an earlier process has trained on.
        name: of the run, where others go on at the same time; then there are lines only, and each
            begins with it.
    """

    def __init__(
        self,
        epochs: int,
        images_per_epoch: int,
        live: bool,
        with_kl: bool,
        name: str = "",
        done: int = 0,
    ):
        self._epochs = epochs
        self._live = live
        self._with_kl = with_kl
        self._name = name and f"{name}: "
        self._total = epochs * images_per_epoch
        self._images = self._done = done
        self._start = time.perf_counter()
        self._bar = tqdm(
            total=self._total,
            initial=done,
            unit=" images",
            unit_scale=True,
            dynamic_ncols=True,
            disable=bool(name) or not sys.stderr.isatty(),
            bar_format="{percentage:3.0f}% |{bar}| {rate_fmt}, ETA {remaining}{postfix}",
        )

    def step(self, images: int, sums: MetricSums) -> None:
        """A batch has been trained on."""
        self._images += images
        if self._bar.disable:
            return
        if self._live:
            now = sums.read()
            parts = _parts(now.ce, now.kl if self._with_kl else None)
            self._bar.set_postfix_str(
                f"loss {now.loss:.3f}{parts}, error {now.error:.1f} %", refresh=False
            )
        self._bar.update(images)

    def epoch(self, record: EpochRecord) -> None:
        """An epoch has ended."""
        parts = _parts(record.train_ce, record.train_kl)
        evaluated = record.evaluated_error
        error = "" if evaluated is None else "{} error {:5.2f} %".format(*evaluated)
        peer = "" if record.peer_error is None else f" (peer {record.peer_error:5.2f} %)"
        self._write(
            f"epoch {record.epoch:>{len(str(self._epochs))}}/{self._epochs}  lr {record.lr:.4g}  "
            f"loss {record.train_loss:.3f}{parts}  "
            f"train error {record.train_error:5.2f} %  {error}{peer}  "
            f"{record.images_per_second:,.0f} images/s  ETA {self._eta()}"
        )

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.close()

    def _eta(self) -> str:
        left = self._total - self._images
        per_image = (time.perf_counter() - self._start) / max(1, self._images - self._done)
        return tqdm.format_interval(left * per_image)

    def _write(self, line: str) -> None:
        with log_may_be_full():
            self._bar.write(self._name + line, file=sys.stdout)
            sys.stdout.flush()


def _parts(ce: float, kl: float | None) -> str:
    return "" if kl is None else f" (ce {ce:.3f}, kl {kl:.3f})"
