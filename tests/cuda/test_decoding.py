"""JPEG files that DALI decodes on the GPU, beside Pillow's."""

import numpy as np
import pytest

from ffdwv_fast.data.image_decoding import decode_images
from ffdwv_fast.data.image_file import read_image
from tests.data.folders import photograph

SIDE = 32


def test_its_pixels_are_close_to_pillows(device, tmp_path):
    """On a CPU within one level but at the edge; nvJPEG's transform is another than libjpeg's."""
    pytest.importorskip("nvidia.dali")
    paths = [tmp_path / f"{number:03}.jpg" for number in range(100)]
    for number, path in enumerate(paths):
        photograph(40 + 3 * number, 300 - 2 * number).save(path, subsampling=number % 3)
    decoded = decode_images(paths, SIDE, "dali", device, progress=False)
    assert (decoded.by_dali, decoded.failures) == (len(paths), {})
    reference = np.stack([read_image(path, (3, SIDE, SIDE)) for path in paths])
    difference = abs(decoded.images.astype(int) - reference)
    assert difference[:, 1:-1, 1:-1].max() <= (1 if device == "cpu" else 4)
    assert difference.max() <= 12
    assert difference.mean() < 0.5
