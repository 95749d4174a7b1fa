# The day's network trained on in the dark: three quarters of the frames darkened,
# with and without noise, a quarter as they are. No other photometric change.
_base_ = './fast-scnn_w50_40e_camvid.py'
dark = dict(type='sci_plugins.SynthesizeLowLight', gain=(0.01, 0.1), seed=None)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(
        type='RandomChoice',
        transforms=[[], [dict(noise=0.0, **dark)], [dict(noise=0.0005, **dark)],
                    [dict(noise=0.004, **dark)]]),
    dict(
        type='RandomResize',
        scale=(480, 360),
        ratio_range=(0.75, 1.5),
        keep_ratio=True),
    dict(type='RandomCrop', crop_size=(240, 320), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.001))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='PolyLR',
        power=0.9,
        eta_min=1e-5,
        begin=0,
        end=30,
        by_epoch=True,
        convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=30, val_interval=30)
load_from = '{{$SCI_PLUGINS_DAY_SEGMENTOR:work_dirs/fast-scnn_w50_40e_camvid/epoch_40.pth}}'
