"""Pictures as tests look at them."""

from io import BytesIO

import numpy as np
from PIL import Image


def from_png(content):
    """The uint8 (H, W, 3) picture of a file's bytes."""
    return np.asarray(Image.open(BytesIO(content)).convert("RGB"))
