"""Tiny data sets, configs and checkpoints of both hosts, as a user would have them.

Run with ``runpy.run_path`` by the tests that need them. The images are 64 x 48 pixels;
the detector's boxes are its anchors and the truth are some of them, so that its AP is
above 0 without any training and depends on what the network sees.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT, IMAGES, BOXES = 64, 48, 3, 6

_RUNTIME = """
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=1),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False),
    sampler_seed=dict(type='DistSamplerSeedHook'))
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='gloo'))
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.001))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=100)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
"""

_DETECTOR = """
default_scope = 'mmdet'
data_root = '{root}/'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 48), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
]
dataset = dict(
    type='CocoDataset',
    data_root=data_root,
    metainfo=dict(classes=('thing', )),
    ann_file='coco.json',
    data_prefix=dict(img='images/'),
    pipeline=test_pipeline)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(filter_cfg=None, **dataset))
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(test_mode=True, **dataset))
test_dataloader = val_dataloader
val_evaluator = dict(
    type='CocoMetric', ann_file=data_root + 'coco.json', metric='bbox')
test_evaluator = val_evaluator
model = dict(
    type='RetinaNet',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32),
    backbone=dict(
        type='ResNet',
        depth=18,
        base_channels=8,
        num_stages=1,
        strides=(1, ),
        dilations=(1, ),
        out_indices=(0, ),
        frozen_stages=-1,
        norm_eval=False,
        style='pytorch'),
    neck=dict(type='FPN', in_channels=[8], out_channels=8, num_outs=2),
    bbox_head=dict(
        type='RetinaHead',
        num_classes=1,
        in_channels=8,
        feat_channels=8,
        stacked_convs=1,
        anchor_generator=dict(
            type='AnchorGenerator',
            octave_base_scale=2,
            scales_per_octave=1,
            ratios=[1.0],
            strides=[8, 16]),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0)),
    train_cfg=dict(
        assigner=dict(
            type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0),
        sampler=dict(type='PseudoSampler'),
        allowed_border=-1,
        pos_weight=-1),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.0,
        nms=dict(type='nms', iou_threshold=0.9),
        max_per_img=100))
"""

_DETECTOR_TTA = """
tta_model = dict(
    type='DetTTAModel',
    tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.9), max_per_img=100))
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='TestTimeAug', transforms=[
        [dict(type='Resize', scale=(64, 48), keep_ratio=True)],
        [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)],
        [dict(type='LoadAnnotations', with_bbox=True)],
        [dict(
            type='PackDetInputs',
            meta_keys=(
                'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip',
                'flip_direction'))]])
]
"""

_SEGMENTOR_TTA = """
tta_model = dict(type='SegTTAModel')
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='TestTimeAug', transforms=[
        [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)],
        [dict(type='LoadAnnotations')],
        [dict(type='PackSegInputs')]])
]
"""

_SEGMENTOR = """
default_scope = 'mmseg'
data_root = '{root}/'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')
]
dataset = dict(
    type='BaseSegDataset',
    data_root=data_root,
    metainfo=dict(
        classes=('a', 'b', 'c'),
        palette=[[200, 0, 0], [0, 200, 0], [0, 0, 200]]),
    data_prefix=dict(img_path='images', seg_map_path='labels'),
    img_suffix='.png',
    seg_map_suffix='.png',
    pipeline=test_pipeline)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dataset)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dataset)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(48, 64)),
    backbone=dict(
        type='ResNet',
        depth=18,
        base_channels=8,
        num_stages=1,
        strides=(1, ),
        dilations=(1, ),
        out_indices=(0, )),
    decode_head=dict(
        type='FCNHead',
        in_channels=8,
        in_index=0,
        channels=8,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0,
        num_classes=3,
        norm_cfg=dict(type='BN', requires_grad=True),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss')),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
"""


#: Module -> what a pure-Python config imports from it, to name in place of a string.
_CLASSES = {
    'mmcv.transforms': ('LoadImageFromFile', 'TestTimeAug'),
    'mmengine.dataset': ('DefaultSampler', 'InfiniteSampler'),
    'mmengine.hooks': (
        'CheckpointHook', 'DistSamplerSeedHook', 'IterTimerHook', 'LoggerHook',
        'ParamSchedulerHook',
    ),
    'mmengine.optim': ('OptimWrapper',),
    'mmengine.runner': ('IterBasedTrainLoop', 'TestLoop', 'ValLoop'),
    'torch.optim': ('SGD',),
}  # fmt: skip
_HOST_CLASSES = {
    'mmdet': {
        'mmdet.datasets': ('CocoDataset',),
        'mmdet.datasets.transforms': (
            'LoadAnnotations', 'PackDetInputs', 'RandomFlip', 'Resize',
        ),
        'mmdet.evaluation': ('CocoMetric',),
        'mmdet.models': (
            'DetDataPreprocessor', 'DetTTAModel', 'FPN', 'FocalLoss', 'L1Loss', 'ResNet',
            'RetinaHead', 'RetinaNet',
        ),
        'mmdet.models.task_modules': (
            'AnchorGenerator', 'DeltaXYWHBBoxCoder', 'MaxIoUAssigner', 'PseudoSampler',
        ),
    },
    'mmseg': {
        'mmseg.datasets': ('BaseSegDataset',),
        'mmseg.datasets.transforms': ('LoadAnnotations', 'PackSegInputs', 'RandomFlip'),
        'mmseg.evaluation': ('IoUMetric',),
        'mmseg.models': (
            'CrossEntropyLoss', 'EncoderDecoder', 'FCNHead', 'ResNet', 'SegDataPreProcessor',
            'SegTTAModel',
        ),
    },
}  # fmt: skip


def write_pure_python(config: Path) -> Path:
    """The same config in MMEngine's pure-Python style: classes, no scope; gives the file."""
    host = re.search(r"default_scope = '(\w+)'\n", config.read_text())
    assert host is not None
    # Of the host's own names only those that the config builds through classes.
    modules = {**_CLASSES, **_HOST_CLASSES[host[1]]}
    text = config.read_text().replace(host[0], 'default_scope = None\n')
    body, runtime = text.split('default_hooks = ')
    for name, part in (('base', f'default_hooks = {runtime}'), ('pure', body)):
        lines = []
        for module, names in modules.items():
            used = [each for each in names if f"type='{each}'" in part]
            lines += [f'from {module} import {", ".join(used)}'] * bool(used)
            for each in used:
                part = part.replace(f"type='{each}'", f'type={each}')
        if name == 'pure':
            lines += [
                'from mmengine.config import read_base',
                '',
                'with read_base():',
                f'    from .{config.stem}_base import *',
            ]
        (config.parent / f'{config.stem}_{name}.py').write_text('\n'.join([*lines, '', part]))
    return config.parent / f'{config.stem}_pure.py'


def _write_images(folder: Path, rng: np.random.Generator) -> list[str]:
    (folder / 'images').mkdir(parents=True)
    names = [f'{index:03d}.png' for index in range(IMAGES)]
    for name in names:
        small = rng.integers(0, 70, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
        large = Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
        large.save(folder / 'images' / name)
    return names


def write_detection(folder: Path) -> Path:
    """A COCO set and a plain RetinaNet config in ``folder``; gives the config."""
    rng = np.random.default_rng(0)
    names = _write_images(folder, rng)
    annotations = []
    for image in range(IMAGES):
        # Anchors of stride 8 have 16 pixels and stand on multiples of 8.
        for place in rng.choice(35, BOXES, replace=False).tolist():
            x, y = 8 * (place % 7), 8 * (place // 7)
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image,
                    category_id=1,
                    bbox=[x, y, 16, 16],
                    area=256,
                    iscrowd=0,
                )
            )
    content = dict(
        images=[
            dict(id=index, file_name=name, width=WIDTH, height=HEIGHT)
            for index, name in enumerate(names)
        ],
        annotations=annotations,
        categories=[dict(id=1, name='thing')],
    )
    (folder / 'coco.json').write_text(json.dumps(content))
    config = folder / 'tiny_detector.py'
    config.write_text(_DETECTOR.replace('{root}', str(folder)) + _DETECTOR_TTA + _RUNTIME)
    return config


def write_segmentation(folder: Path) -> Path:
    """Images with label maps and a plain FCN config in ``folder``; gives the config."""
    rng = np.random.default_rng(0)
    names = _write_images(folder, rng)
    (folder / 'labels').mkdir()
    for name in names:
        labels = rng.integers(0, 3, (HEIGHT // 16, WIDTH // 16), dtype=np.uint8)
        labels = labels.repeat(16, axis=0).repeat(16, axis=1)
        labels[0] = 255  # ignored
        Image.fromarray(labels).save(folder / 'labels' / name)
    config = folder / 'tiny_segmentor.py'
    config.write_text(_SEGMENTOR.replace('{root}', str(folder)) + _SEGMENTOR_TTA + _RUNTIME)
    return config


def write_checkpoint(config: Path, **meta: Any) -> Path:
    """Random weights of a config's model, the detector's boxes left at their anchors."""
    import torch
    from mmengine.config import Config
    from mmengine.registry import MODELS, init_default_scope

    import sci_plugins  # noqa: F401  (operations for an mmcv without compiled ones)

    cfg = Config.fromfile(config)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(1)
    model = MODELS.build(cfg.model)
    for name, value in model.named_parameters():
        if value.ndim == 4:
            # Small where scores come from: none is 0 or 1, and no two are equal.
            value.data.normal_(0, 0.001 if 'retina_cls' in name else 0.3)
        if 'retina_reg' in name:
            value.data.zero_()
    path = config.with_suffix('.pth')
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return path
