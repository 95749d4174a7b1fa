"""Real host models from their own configs, with the two keys merged into them."""

import copy
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData

import sci_plugins
from tests.plain_sci import enhance_host_image, read_weights, save_visible_weights

pytestmark = pytest.mark.slow  # twelve real models: minutes on two cores

DETECTORS = {
    'RetinaNet': ('retinanet/retinanet_r50_fpn_1x_coco.py', 64),
    'Faster R-CNN': ('faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', 64),
    'SSD': ('ssd/ssd300_coco.py', 300),
    'TOOD': ('tood/tood_r50_fpn_1x_coco.py', 64),
    'YOLOX': ('yolox/yolox_tiny_8xb8-300e_coco.py', 64),
    'RTMDet': ('rtmdet/rtmdet_tiny_8xb32-300e_coco.py', 64),
    'DETR': ('detr/detr_r50_8xb2-150e_coco.py', 64),
}
SEGMENTORS = {
    'FCN': ('fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py', 64),
    'PSPNet': ('pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py', 64),
    'DeepLabV3+': (
        'deeplabv3plus/deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024.py',
        64,
    ),
    'SegFormer': ('segformer/segformer_mit-b0_8xb1-160k_cityscapes-1024x1024.py', 64),
    'Mask2Former': ('mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024.py', 64),
}
MODELS = {
    **{name: ('mmdet', *value) for name, value in DETECTORS.items()},
    **{name: ('mmseg', *value) for name, value in SEGMENTORS.items()},
}
TYPES = dict(mmdet='EnhancedDetDataPreprocessor', mmseg='EnhancedSegDataPreProcessor')


def _without_downloads(node: Any) -> Any:
    if isinstance(node, dict):
        for key in ('init_cfg', 'pretrained'):
            node.pop(key, None)
        for value in node.values():
            _without_downloads(value)
    elif isinstance(node, list | tuple):
        for value in node:
            _without_downloads(value)
    return node


def _host_config(host: str, file: str) -> Config:
    if host == 'mmdet':
        return get_config(f'mmdet::{file}')
    import mmseg

    return Config.fromfile(os.path.join(mmseg.__path__[0], '.mim', 'configs', file))


def _sample(host: str, size: int) -> Any:
    meta = dict(
        img_shape=(size, size),
        ori_shape=(size, size),
        pad_shape=(size, size),
        scale_factor=(1.0, 1.0),
        img_path='night.png',
    )
    if host == 'mmdet':
        from mmdet.structures import DetDataSample

        sample = DetDataSample(metainfo=meta)
        boxes = torch.tensor([[8.0, 8.0, 40.0, 44.0]])
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([1]))
        sample.ignored_instances = InstanceData(
            bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
        )
        return sample
    from mmseg.structures import SegDataSample

    sample = SegDataSample(metainfo=meta)
    labels = torch.zeros(1, size, size, dtype=torch.long)
    labels[:, : size // 2] = 3
    sample.gt_sem_seg = PixelData(data=labels)
    return sample


def _batch(host: str, images: list[torch.Tensor]) -> dict:
    samples = [_sample(host, image.shape[-1]) for image in images]
    return dict(inputs=[image.clone() for image in images], data_samples=samples)


def _tensors(output: Any) -> list[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        return [output]
    values = output.values() if isinstance(output, dict) else output
    if isinstance(values, list | tuple) or hasattr(values, '__iter__'):
        return [t for value in values for t in _tensors(value)]
    return []


def _forward(model: Any, batch: dict) -> list[torch.Tensor]:
    with torch.no_grad():
        torch.manual_seed(0)  # random proposals, if any, are the same
        data = model.data_preprocessor(batch, False)
        return _tensors(model(**data, mode='tensor'))


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_visible_weights(tmp_path_factory.mktemp('weights') / 'visible.pth')


@pytest.fixture(scope='module', params=list(MODELS), ids=lambda name: name)
def pair(request: pytest.FixtureRequest, weights: Path) -> Any:
    """A plain model, and one that was built from the same config with two more keys."""
    host, file, size = MODELS[request.param]
    cfg = _host_config(host, file)
    _without_downloads(cfg.model)
    if host == 'mmseg':  # one process: plain BatchNorm, and no fixed crop to pad to
        cfg.model.data_preprocessor.size = (size, size)
        _plain_norm(cfg.model)
    init_default_scope(host)
    torch.manual_seed(0)
    plain = ROOT_MODELS.build(copy.deepcopy(cfg.model)).eval()
    keys = dict(
        type=f'sci_plugins.{TYPES[host]}',
        enhancer=dict(type='sci_plugins.SCIEnhancer', weights=str(weights)),
    )
    cfg.merge_from_dict(dict(model=dict(data_preprocessor=keys)))
    enhanced = ROOT_MODELS.build(cfg.model).eval()
    image = torch.randint(0, 90, (3, size, size), dtype=torch.uint8)
    return host, plain, enhanced, image


def _plain_norm(node: Any) -> None:
    if isinstance(node, dict):
        if node.get('type') == 'SyncBN':
            node['type'] = 'BN'
        for value in node.values():
            _plain_norm(value)
    elif isinstance(node, list | tuple):
        for value in node:
            _plain_norm(value)


def test_day_checkpoint_loads_whole_and_by_hand_gives_the_same(
    pair: Any, weights: Path
) -> None:
    host, plain, enhanced, image = pair
    loaded = enhanced.load_state_dict(plain.state_dict(), strict=True)
    assert not loaded.missing_keys
    assert not loaded.unexpected_keys
    assert all(
        torch.equal(value, enhanced.state_dict()[key])
        for key, value in plain.state_dict().items()
    )
    by_hand = enhance_host_image(read_weights(weights), image)
    assert (
        by_hand - image
    ).abs().mean() > 10  # an enhancer that does nothing proves nothing

    inside = _forward(enhanced, _batch(host, [image]))
    outside = _forward(plain, _batch(host, [by_hand]))
    bare = _forward(plain, _batch(host, [image]))

    assert len(inside) == len(outside) > 0
    # Random heads give tiny numbers: tolerances go by the largest of them.
    scale = max(float(tensor.abs().max()) for tensor in outside)
    for ours, theirs in zip(inside, outside, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * min(scale, 1))
    assert any(
        a.shape != b.shape or float((a - b).abs().max()) > 1e-3 * min(scale, 1)
        for a, b in zip(inside, bare, strict=True)
    )


@pytest.fixture
def running() -> Any:
    """What such heads read from MMEngine's message hub while a Runner trains."""
    from mmengine.logging import MessageHub

    hub = MessageHub.get_current_instance()
    hub.update_info('epoch', 0)
    hub.update_info('iter', 0)
    hub.update_info('max_epochs', 1)
    hub.update_info('max_iters', 1)
    return hub


@pytest.mark.usefixtures('running')
@pytest.mark.parametrize('frozen', [False, True])
def test_train_step_reaches_the_enhancer_unless_frozen(
    pair: Any, weights: Path, frozen: bool
) -> None:
    host, plain, _, image = pair
    model = copy.deepcopy(plain)
    sci_plugins.attach(model, f'sci/{weights}', frozen=frozen)
    model.train()
    gradients: dict[str, float] = {}
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-6))
    for name, parameter in model.data_preprocessor.enhancer.named_parameters():
        if parameter.requires_grad:
            parameter.register_hook(
                lambda grad, name=name: gradients.update({name: float(grad.abs().max())})
            )
    batch = _batch(host, [image, image.flip(2)])  # two: BatchNorm on 1x1 maps
    losses = model.train_step(batch, optimizer)

    assert any('loss' in key for key in losses)
    assert bool(gradients) is not frozen
    if not frozen:
        assert max(gradients.values()) > 0
