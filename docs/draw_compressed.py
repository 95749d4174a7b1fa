"""Draw docs/images/compressed.jpg: a dark, noisy scene without and with JPEG, under two enhancers.

python docs/draw_compressed.py
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sci_plugins import build_enhancer
from sci_plugins.demo.faces import draw_face_scene, load_material
from sci_plugins.functional.low_light import compress_jpeg, darken, linear_to_srgb, to_uint8
from sci_plugins.utils.images import write_sheet
from sci_plugins.visualization.panels import image_cell, make_grid

TARGET = Path(__file__).parent / 'images' / 'compressed.jpg'
ENHANCERS = {'one gain': 'exposure/0.4', 'adaptive': 'adaptive'}


def _tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1) / 255


def main() -> None:
    radiance, _ = draw_face_scene(np.random.default_rng(3), load_material('test'))
    bright = to_uint8(linear_to_srgb(np.minimum(radiance, 1)))
    dark = darken(bright, 0.05, 0.002, 0, np.random.default_rng(0))
    pressed = compress_jpeg(dark[..., ::-1], 70)[..., ::-1]
    rows = []
    for told, pixels in (('noise .002', dark), ('noise .002, JPEG 70', pressed)):
        image = _tensor(pixels)
        with torch.no_grad():
            cells = {
                name: build_enhancer(each).eval()(image[None])[0]
                for name, each in ENHANCERS.items()
            }
        first = image_cell(f'3 times: {told}', (3 * image).clamp(0, 1))
        rows.append([first, *(image_cell(name, each) for name, each in cells.items())])
    write_sheet(TARGET, make_grid(rows))
    print(f'{TARGET}: {TARGET.stat().st_size // 1024} KiB')


if __name__ == '__main__':
    main()
