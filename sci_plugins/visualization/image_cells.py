"""Tensors as captioned cells of a sheet."""

import numpy as np
import torch
from torch import Tensor

from sci_plugins.visualization.panels import enlarge


def image_cell(caption: str, image: Tensor) -> tuple[str, np.ndarray]:
    """A cell for :func:`sci_plugins.visualization.panels.make_grid`.

    Args:
        caption: what stands above it; the image's mean is added.
        image: RGB, ``(3, H, W)``, float in [0, 1].

    Returns:
        caption and RGB uint8 ``(h, w, 3)``, of a sheet's width; values are truncated
        to 8 bits, as in files.
    """
    pixels = (image.detach().float().cpu().clamp(0, 1) * 255).to(torch.uint8)
    array = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
    return f'{caption}, mean {float(image.mean()):.2f}', enlarge(array)[0]
