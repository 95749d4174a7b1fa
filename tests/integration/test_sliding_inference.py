"""Inference by windows, whole and by several views: each image is enhanced once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip('mmseg')

from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmseg.models import SegTTAModel

from sci_plugins.apis.config import load_config
from sci_plugins.registry import MODELS
from sci_plugins.utils.images import write_image
from tests.plain_sci import save_visible_weights

CONFIG = (
    Path(__file__).parents[2]
    / 'configs/night/segformer_mit-b0_sci-frozen_160k_cityscapes-acdc-night.py'
)
HEIGHT, WIDTH = 60, 84
WHOLE = {'model.test_cfg.mode': 'whole'}
#: As ``--cfg-options model.test_cfg.crop_size=48,48`` gives them.
SLIDE = {
    'model.test_cfg.mode': 'slide',
    'model.test_cfg.crop_size': [48, 48],
    'model.test_cfg.stride': [32, 32],
}


@pytest.fixture
def image(tmp_path: Path, rng: np.random.Generator) -> Path:
    path = tmp_path / 'night.png'
    write_image(path, rng.integers(0, 60, (HEIGHT, WIDTH, 3), dtype=np.uint8))
    return path


class _Model:
    """A segmentor, and what its enhancer and its backbone were given."""

    def __init__(self, options: dict[str, Any], weights: Path) -> None:
        cfg = load_config(str(CONFIG), options)
        init_default_scope('mmseg')
        cfg.model.backbone.init_cfg = None
        cfg.model.data_preprocessor.enhancer.weights = str(save_visible_weights(weights))
        self.model = MODELS.build(cfg.model).eval()
        self.enhanced: list[Tensor] = []
        self.windows: list[Tensor] = []
        preprocessor = self.model.data_preprocessor
        preprocessor.enhancer.register_forward_hook(self._keep(self.enhanced))
        self.model.backbone.register_forward_hook(self._keep(self.windows))

    @staticmethod
    def _keep(inputs: list[Tensor]) -> Any:
        return lambda _module, arguments, _result: inputs.append(arguments[0].clone())


def _load(image: Path, *steps: dict[str, Any]) -> dict[str, Any]:
    pipeline = Compose([dict(type='LoadImageFromFile'), *steps])
    return pipeline(dict(img_path=str(image)))


def _batch(image: Path) -> dict[str, Any]:
    data = _load(image, dict(type='PackSegInputs'))
    return dict(inputs=[data['inputs']], data_samples=[data['data_samples']])


@pytest.mark.parametrize(('options', 'windows'), [(WHOLE, 1), (SLIDE, 6)])
def test_each_image_is_enhanced_once(
    options: dict, windows: int, image: Path, tmp_path: Path
) -> None:
    seen = _Model(options, tmp_path / 'sci.pth')
    with torch.no_grad():
        wanted = seen.model.data_preprocessor(_batch(image), False)['inputs']
        seen.enhanced.clear()
        (sample,) = seen.model.test_step(_batch(image))
    assert sample.pred_sem_seg.shape == (HEIGHT, WIDTH)
    assert [tuple(value.shape) for value in seen.enhanced] == [(1, 3, HEIGHT, WIDTH)]
    assert len(seen.windows) == windows
    # 48 pixels every 32; the last window is moved back to end with the image.
    corners = [(top, left) for top in (0, 12) for left in (0, 32, 36)] if windows > 1 else [(0, 0)]
    for window, (top, left) in zip(seen.windows, corners, strict=True):
        height, width = window.shape[2:]
        part = wanted[..., top : top + height, left : left + width]
        torch.testing.assert_close(window, part)


@pytest.mark.parametrize('options', [WHOLE, SLIDE])
def test_each_view_of_test_time_augmentation_is_enhanced_once(
    options: dict, image: Path, tmp_path: Path
) -> None:
    """Resized and mirrored before the enhancer, a view is another image."""
    seen = _Model(options, tmp_path / 'sci.pth')
    scales = [dict(type='Resize', scale_factor=s, keep_ratio=True) for s in (1.0, 1.5)]
    flips = [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)]
    views = [scales, flips, [dict(type='PackSegInputs')]]
    data = _load(image, dict(type='TestTimeAug', transforms=views))
    samples = [[sample] for sample in data['data_samples']]
    inputs = [[view] for view in data['inputs']]
    with torch.no_grad():
        SegTTAModel(seen.model).test_step(dict(inputs=inputs, data_samples=samples))
    sizes = sorted(tuple(value.shape[2:]) for value in seen.enhanced)
    assert sizes == [(HEIGHT, WIDTH)] * 2 + [(90, 126)] * 2
    assert len(seen.windows) == (4 if options is WHOLE else 2 * 6 + 2 * 12)
