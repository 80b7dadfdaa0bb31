"""Reading ``.npz`` files that may be damaged."""

from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np


def read_npz(file: Path) -> dict[str, np.ndarray]:
    """All arrays of an ``.npz`` file, whole.

    ``numpy.load`` of the file would not check all of them: it stops where an array's header says
    that the array ends, and the checksum is compared at the end of the data. A damaged header that
    asks for fewer or shorter numbers would get them.

    Raises:
        Exception: Of many types, for a file that is missing or damaged or holds a pickle.
    """
    with ZipFile(file) as archive:
        return {
            member.removesuffix(".npy"): np.load(BytesIO(archive.read(member)), allow_pickle=False)
            for member in archive.namelist()
        }
