"""A task of one's own: pictures without the artefacts of strong JPEG compression (`task: {file: …}`)."""

import io

import numpy as np
from PIL import Image

NAME = "JPEG artefacts"
QUALITY = (10, 40)


def degrade(picture, random):
    """A picture as it comes back from JPEG, of a quality that is drawn for each picture and each crop."""
    low, high = QUALITY
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "JPEG", quality=low + int(random.random() * (high - low + 1)))
    return np.asarray(Image.open(content).convert("RGB"))


def score(output, target):
    """PSNR that counts the edges of JPEG's blocks twice, in dB."""
    error = (output.astype(np.float64) - target) ** 2
    weight = np.ones(error.shape[:2])
    weight[7::8], weight[8::8] = 2, 2
    weight[:, 7::8], weight[:, 8::8] = 2, 2
    mean = np.average(error.mean(2), weights=weight)
    return 100.0 if mean == 0 else 10 * np.log10(255**2 / mean)
