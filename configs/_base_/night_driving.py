# Nighttime Driving test, 50 images, 1920x1080, 19 classes, coarse labels: for testing
# only. The folder holds leftImg8bit/ and gtCoarse_daytime_trainvaltest/:
# `python tools/prepare_data.py nightdriving FOLDER`.
data_root = '{{$SCI_PLUGINS_NIGHT_DRIVING:data/NighttimeDrivingTest}}'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='sci_plugins.CheckLabelMap', num_classes=19),
    dict(type='PackSegInputs')
]
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='NightDrivingDataset',
        data_root=data_root,
        data_prefix=dict(
            img_path='leftImg8bit/test/night',
            seg_map_path='gtCoarse_daytime_trainvaltest/test/night'),
        test_mode=True,
        pipeline=test_pipeline))
val_dataloader = test_dataloader
test_evaluator = dict(type='sci_plugins.SubsetIoUMetric')
val_evaluator = test_evaluator
