"""Real host models from their own configs, batches for them, and their raw outputs."""

from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from sci_plugins.apis.config import load_config

DETECTORS = {
    'RetinaNet': ('retinanet/retinanet_r50_fpn_1x_coco.py', 64),
    'Faster R-CNN': ('faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', 64),
    'SSD': ('ssd/ssd300_coco.py', 300),
    'TOOD': ('tood/tood_r50_fpn_1x_coco.py', 64),
    'YOLOX': ('yolox/yolox_tiny_8xb8-300e_coco.py', 64),
    'RTMDet': ('rtmdet/rtmdet_tiny_8xb32-300e_coco.py', 64),
    'DETR': ('detr/detr_r50_8xb2-150e_coco.py', 64),
    'Deformable DETR': ('deformable_detr/deformable-detr_r50_16xb2-50e_coco.py', 64),
}
SEGMENTORS = {
    'FCN': ('fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py', 64),
    'PSPNet': ('pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py', 64),
    'DeepLabV3+': ('deeplabv3plus/deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024.py', 64),
    'SegFormer': ('segformer/segformer_mit-b0_8xb1-160k_cityscapes-1024x1024.py', 64),
    'Mask2Former': ('mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024.py', 64),
}
MODELS = {
    **{name: ('mmdet', *value) for name, value in DETECTORS.items()},
    **{name: ('mmseg', *value) for name, value in SEGMENTORS.items()},
}
#: One of each host is small enough for every run of the tests.
LIGHT = ('RTMDet', 'SegFormer')
TYPES = dict(
    mmdet='sci_plugins.EnhancedDetDataPreprocessor', mmseg='sci_plugins.EnhancedSegDataPreProcessor'
)


def parameters() -> list[Any]:
    """All models for ``pytest.fixture(params=...)``; the large ones are slow."""
    return [
        pytest.param(name, marks=[] if name in LIGHT else pytest.mark.slow, id=name)
        for name in MODELS
    ]


def host_config(name: str) -> tuple[str, Config, int]:
    """Host, config and image size of a model, ready to be built without network."""
    host, file, size = MODELS[name]
    cfg = load_config(_path(host, file))
    _simplify(cfg.model)
    if name == 'SSD':
        _fill_l2norm()
    if host == 'mmseg':  # no fixed crop to pad to
        cfg.model.data_preprocessor.size = (size, size)
    return host, cfg, size


def build_host(name: str) -> tuple[str, Any]:
    """Host and model, with the same random weights each time, in eval mode."""
    host, cfg, _ = host_config(name)
    init_default_scope(host)
    torch.manual_seed(0)
    return host, ROOT_MODELS.build(cfg.model).eval()


def _fill_l2norm() -> None:
    """Until ``init_weights`` is called, mmdet's L2Norm has what the memory held: NaN, by chance."""
    from mmdet.models.necks.ssd_neck import L2Norm

    init = L2Norm.__init__
    if not hasattr(init, 'fills'):

        def fill(self: Any, *args: Any, **kwargs: Any) -> None:
            init(self, *args, **kwargs)
            torch.nn.init.constant_(self.weight, 20)

        fill.fills = True  # type: ignore[attr-defined]
        L2Norm.__init__ = fill


def _path(host: str, file: str) -> str:
    if host == 'mmdet':
        return f'mmdet::{file}'
    import mmseg  # its configs' bases are found by path only

    return f'{mmseg.__path__[0]}/.mim/configs/{file}'


def _simplify(node: Any) -> None:
    """No pretrained weights to fetch; one process has no SyncBN."""
    if isinstance(node, dict):
        for key in ('init_cfg', 'pretrained'):
            node.pop(key, None)
        if node.get('type') == 'SyncBN':
            node['type'] = 'BN'
    if isinstance(node, dict | list | tuple):
        for value in node.values() if isinstance(node, dict) else node:
            _simplify(value)


def two_keys(cfg: Config, host: str, weights: Any, **settings: Any) -> Config:
    """Put the two keys of the README into a config."""
    enhancer = dict(type='sci_plugins.SCIEnhancer', weights=str(weights))
    keys = dict(type=TYPES[host], enhancer=enhancer, **settings)
    cfg.merge_from_dict(dict(model=dict(data_preprocessor=keys)))
    return cfg


def batch(host: str, images: list[Tensor]) -> dict:
    """What the host's pipeline would give for ``images``, with some truth."""
    samples = [_sample(host, image.shape[-1]) for image in images]
    return dict(inputs=[image.clone() for image in images], data_samples=samples)


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


def raw_outputs(model: Any, data: dict) -> list[Tensor]:
    """All tensors of ``mode='tensor'``: random heads detect nothing to compare."""
    with torch.no_grad():
        torch.manual_seed(0)  # random proposals, if any, are the same
        data = model.data_preprocessor(data, False)
        if type(getattr(model, 'decode_head', None)).__name__ == 'Mask2FormerHead':
            # Its mode='tensor' is broken in mmseg: the head wants the samples.
            features = model.extract_feat(data['inputs'])
            return _tensors(model.decode_head(features, data['data_samples']))
        return _tensors(model(**data, mode='tensor'))


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    values = output.values() if isinstance(output, dict) else output
    if isinstance(values, list | tuple) or hasattr(values, '__iter__'):
        return [tensor for value in values for tensor in _tensors(value)]
    return []
