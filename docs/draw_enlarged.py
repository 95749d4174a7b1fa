"""Draw docs/images/enlarged.jpg: dark, noisy scenes behind a resize that enlarges them twice.

python docs/draw_enlarged.py
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from sci_plugins import build_enhancer
from sci_plugins.demo.faces import draw_face_scene, load_material
from sci_plugins.functional.low_light import compress_jpeg, darken, linear_to_srgb, to_uint8
from sci_plugins.models.enhancers import BaseEnhancer
from sci_plugins.utils.images import write_sheet
from sci_plugins.visualization.panels import image_cell, make_grid

TARGET = Path(__file__).parent / 'images' / 'enlarged.jpg'


def _tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None] / 255


@torch.no_grad()
def _row(told: str, pixels: np.ndarray, stage: BaseEnhancer, gain: BaseEnhancer) -> list:
    height, width = pixels.shape[:2]
    image = _tensor(cv2.resize(pixels, (2 * width, 2 * height)))
    results = {
        f'3 times: {told}, enlarged twice': (3 * image).clamp(0, 1),
        'one gain': gain(image),
        'adaptive, unaware': stage(image),
        'adaptive': stage.enhance_enlarged(image, (height, width), 255),
    }
    # A part at its own size, in which the noise shows.
    part = slice(height // 2, height // 2 + height), slice(width // 2, width // 2 + width)
    return [image_cell(name, each[0][:, part[0], part[1]]) for name, each in results.items()]


def main() -> None:
    radiance, _ = draw_face_scene(np.random.default_rng(3), load_material('test'))
    bright = to_uint8(linear_to_srgb(np.minimum(radiance, 1)))
    dark = darken(bright, 0.05, 0.002, 0, np.random.default_rng(0))
    pressed = np.ascontiguousarray(compress_jpeg(dark[..., ::-1], 70)[..., ::-1])
    enhancers = [build_enhancer(each).eval() for each in ('adaptive', 'exposure/0.4')]
    rows = [_row('noise', dark, *enhancers), _row('noise, JPEG 70', pressed, *enhancers)]
    write_sheet(TARGET, make_grid(rows))
    print(f'{TARGET}: {TARGET.stat().st_size // 1024} KiB')


if __name__ == '__main__':
    main()
