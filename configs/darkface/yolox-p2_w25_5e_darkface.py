# The light detector on DARK FACE's 5000 images: 1.3 M parameters, crops of 256x256,
# 3125 iterations of eight, for a CPU. Images are enlarged: half of the faces are below
# 11 pixels.
_base_ = [
    '../_base_/light_yolox_p2_w25.py', '../_base_/darkface_regdet.py',
    '../_base_/light_schedule_det.py', '../_base_/light_runtime.py'
]
default_scope = 'mmdet'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='RandomResize',
        scale=(1620, 1080),
        ratio_range=(0.7, 1.4),
        keep_ratio=True),
    dict(type='RandomCrop', crop_size=(256, 256)),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(3, 3), keep_empty=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1620, 1080), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor', 'instances'))
]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR',
        eta_min=2e-5,
        begin=0,
        end=5,
        by_epoch=True,
        convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=5, val_interval=5)
default_hooks = dict(checkpoint=dict(interval=1))
