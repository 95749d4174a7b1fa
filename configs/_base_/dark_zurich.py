# Dark Zurich val by night, 50 images, 1920x1080, 19 classes: for testing only, its
# training images have no labels. All 50 are in ACDC night val as well.
# The folder holds rgb_anon/ and gt/: `python tools/prepare_data.py darkzurich FOLDER`.
data_root = '{{$SCI_PLUGINS_DARK_ZURICH:data/DarkZurich}}'
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
        type='DarkZurichDataset',
        data_root=data_root,
        data_prefix=dict(
            img_path='rgb_anon/val/night', seg_map_path='gt/val/night'),
        test_mode=True,
        pipeline=test_pipeline))
val_dataloader = test_dataloader
test_evaluator = dict(type='sci_plugins.SubsetIoUMetric')
val_evaluator = test_evaluator
