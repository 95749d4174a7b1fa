"""Tensors as captioned cells."""

import numpy as np
import torch

from sci_plugins.visualization.panels import image_cell


def test_a_cell() -> None:
    image = torch.full((3, 10, 20), 0.5)
    image[0] = 2.0
    caption, pixels = image_cell('night.png', image)
    assert caption == 'night.png, mean 1.00'
    assert (pixels.dtype, pixels.shape) == (np.uint8, (240, 480, 3))
    assert pixels[0, 0].tolist() == [255, 127, 127]
