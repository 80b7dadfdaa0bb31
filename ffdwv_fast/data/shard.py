"""Which of a batch's images are one process's, where several train together."""

from typing import NamedTuple

import numpy as np


class Shard(NamedTuple):
    """One of the equal parts into which every batch is cut, image by image in turn.

    Of a batch of n images, process r of N has those at the positions r, r + N, r + 2N and so on:
    none is in two parts, all are in one, and the sizes differ by one at most. A last batch with
    fewer images than there are processes leaves some with none.

    Attributes:
        rank: of the process, from 0.
        count: of the processes.
    """

    rank: int = 0
    count: int = 1

    def size(self, images: int) -> int:
        """How many of a batch's images it has."""
        return len(range(self.rank, images, self.count))

    def of(self, order: np.ndarray, batch_size: int) -> np.ndarray:
        """Its part of every batch.

        Args:
            order: [N] image indices, batch after batch.
            batch_size: images of each but the last.
        """
        return order[np.arange(len(order)) % batch_size % self.count == self.rank]


WHOLE = Shard()
