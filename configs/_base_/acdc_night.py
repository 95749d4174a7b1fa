# ACDC by night, 1920x1080, 19 classes: trained on train (400), tested on val (106).
# The folder holds rgb_anon/ and gt/: `python tools/prepare_data.py acdc FOLDER`.
# Its val holds the 50 images of Dark Zurich val; labels of its test are not public.
data_root = '{{$SCI_PLUGINS_ACDC:data/ACDC}}'
crop_size = (512, 512)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(
        type='RandomResize',
        scale=(1920, 1080),
        ratio_range=(0.5, 2.0),
        keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='sci_plugins.ACDCDataset',
        data_root=data_root,
        split='train',
        condition='night',
        pipeline=train_pipeline))
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='sci_plugins.ACDCDataset',
        data_root=data_root,
        split='val',
        condition='night',
        test_mode=True,
        pipeline=test_pipeline))
val_dataloader = test_dataloader
test_evaluator = dict(type='sci_plugins.SubsetIoUMetric')
val_evaluator = test_evaluator
