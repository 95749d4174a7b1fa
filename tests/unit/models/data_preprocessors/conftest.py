"""Both preprocessors, and a batch for either, without any model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sci_plugins.registry import MODELS
from tests.plain_sci import save_visible_weights

CLASSES = {
    'mmdet': 'sci_plugins.EnhancedDetDataPreprocessor',
    'mmseg': 'sci_plugins.EnhancedSegDataPreProcessor',
}


@pytest.fixture(scope='session')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_visible_weights(tmp_path_factory.mktemp('weights') / 'visible.pth')


@pytest.fixture(params=list(CLASSES))
def host(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return request.param


@pytest.fixture
def build(host: str, weights: Path) -> Callable[..., Any]:
    """Makes the host's preprocessor as a config does, with visible weights."""

    def make(enhancer: Any = None, **settings: Any) -> Any:
        if host == 'mmseg':
            settings.setdefault('size_divisor', 1)
        spec = enhancer or dict(type='sci_plugins.SCIEnhancer', weights=str(weights))
        return MODELS.build(dict(type=CLASSES[host], enhancer=spec, **settings))

    return make


@pytest.fixture
def run(host: str) -> Callable[..., Tensor]:
    """Sends images through a preprocessor as a Runner does; gives ``inputs``."""

    def call(preprocessor: Any, images: Any, training: bool = False) -> Tensor:
        samples = [sample(host, image, index) for index, image in enumerate(images)]
        data = dict(inputs=images, data_samples=samples)
        return preprocessor(data, training)['inputs']

    return call


def sample(host: str, image: Tensor, index: int = 0) -> Any:
    """What the host's pipeline would have packed beside ``image``."""
    meta = dict(img_path=f'folder/{index}.png', img_shape=tuple(image.shape[-2:]))
    if host == 'mmseg':
        from mmengine.structures import PixelData
        from mmseg.structures import SegDataSample

        label = PixelData(data=torch.zeros(1, *image.shape[-2:], dtype=torch.int64))
        return SegDataSample(gt_sem_seg=label, metainfo=meta)
    from mmdet.structures import DetDataSample

    return DetDataSample(metainfo=meta)


@pytest.fixture
def picture() -> Callable[..., Tensor]:
    """A dark image of given size; its channels differ, so that an order is visible."""

    def make(height: int, width: int, seed: int = 0) -> Tensor:
        source = torch.Generator().manual_seed(seed)
        values = torch.randint(0, 60, (3, height, width), generator=source)
        return (values + torch.tensor([40, 10, 0]).view(3, 1, 1)).to(torch.uint8)

    return make
