# The night images of BDD100K's 10,000 with label maps, 1280x720, 19 classes: trained
# on those of train, tested on those of val (87). The folder holds images/10k/, labels/
# sem_seg/masks/ and the boxes' label files, where the time of day stands:
# `python tools/prepare_data.py bdd100k FOLDER --write-lists FOLDER` checks them and
# writes lists for ann_file, which start faster.
data_root = '{{$SCI_PLUGINS_BDD100K:data/bdd100k}}'
crop_size = (512, 512)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(
        type='RandomResize',
        scale=(1280, 720),
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
        type='sci_plugins.BDD100KNightDataset',
        data_root=data_root,
        split='train',
        timeofday='night',
        pipeline=train_pipeline))
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='sci_plugins.BDD100KNightDataset',
        data_root=data_root,
        split='val',
        timeofday='night',
        test_mode=True,
        pipeline=test_pipeline))
val_dataloader = test_dataloader
test_evaluator = dict(type='sci_plugins.SubsetIoUMetric')
val_evaluator = test_evaluator
