# IAT's recipe and table: 20k iterations from mmseg's Cityscapes weights, crops of 512,
# eight images a step, no photometric distortion, 15 classes. Two things differ: IAT's
# labels lack the other four classes in training as well, and it feeds values in [0, 1]
# without mean and deviation. All 19: `--cfg-options test_evaluator.classes=19
# test_evaluator.ignore_left_out=False`.
_base_ = [
    '../_base_/deeplabv3plus_r50-d8.py', '../_base_/acdc_night.py',
    '../_base_/night_schedule_20k.py', '../_base_/segmentor_runtime.py'
]
default_scope = 'mmseg'
# load_from holds the whole network: no need to fetch the backbone's weights before.
model = dict(backbone=dict(init_cfg=None))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(
        type='RandomResize',
        scale=(1920, 1080),
        ratio_range=(0.5, 2.0),
        keep_ratio=True),
    dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs')
]
train_dataloader = dict(
    batch_size=8, dataset=dict(pipeline=train_pipeline))
test_evaluator = dict(classes=15, ignore_left_out=True)
val_evaluator = test_evaluator
load_from = 'https://download.openmmlab.com/mmsegmentation/v0.5/deeplabv3plus/deeplabv3plus_r50-d8_512x1024_80k_cityscapes/deeplabv3plus_r50-d8_512x1024_80k_cityscapes_20200606_114049-f9fb496d.pth'  # noqa
