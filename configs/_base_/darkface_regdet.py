# DARK FACE at its own size, 1080x720, split 5000/1000 by REGDet's lists.
# The folder holds image/ and label/: `python tools/prepare_data.py darkface FOLDER`.
data_root = '{{$SCI_PLUGINS_DARKFACE:data/DarkFace}}'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(1080, 720), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1080, 720), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    # `instances` is the ground truth that DarkFaceMetric reads, in original pixels.
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor', 'instances'))
]
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type='sci_plugins.DarkFaceDataset',
        data_root=data_root,
        split='regdet_train',
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline))
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='sci_plugins.DarkFaceDataset',
        data_root=data_root,
        split='regdet_test',
        test_mode=True,
        pipeline=test_pipeline))
val_dataloader = test_dataloader
test_evaluator = dict(type='sci_plugins.DarkFaceMetric')
val_evaluator = test_evaluator
