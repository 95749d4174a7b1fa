# The day's network trained on in the dark: three quarters of the images darkened,
# with and without noise, a quarter as they are. No other photometric change: the
# range of gains is one, and +-16 grey levels would drown what is in the dark.
_base_ = './yolox-p2_w25_40e_facemask.py'
dark = dict(type='sci_plugins.SynthesizeLowLight', gain=(0.01, 0.1), seed=None)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='RandomChoice',
        transforms=[[], [dict(noise=0.0, **dark)], [dict(noise=0.0005, **dark)],
                    [dict(noise=0.004, **dark)]]),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomResize',
        scale=(640, 640),
        ratio_range=(0.4, 1.5),
        keep_ratio=True),
    dict(type='RandomCrop', crop_size=(256, 256)),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(3, 3), keep_empty=False),
    dict(type='PackDetInputs')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.001))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        begin=0,
        end=30,
        by_epoch=True,
        convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=30, val_interval=30)
load_from = '{{$SCI_PLUGINS_DAY_DETECTOR:work_dirs/yolox-p2_w25_40e_facemask/epoch_40.pth}}'
