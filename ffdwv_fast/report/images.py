"""Images inside a page."""

import base64
import io

import numpy as np

LARGEST_SIDE = 128  # pixels; a page of large photographs would be too heavy


def data_uri(image: np.ndarray) -> str:
    """An image as a PNG in a data URI, made smaller where it is large.

    Args:
        image: uint8 [H, W, C], C 1 or 3.
    """
    from PIL import Image

    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
