# The demo's faces: `python tools/demo.py --prepare data/demo` draws them.
# Other conditions: image_dark, image_very_dark, image_noisy instead of image.
data_root = '{{$SCI_PLUGINS_DEMO:data/demo}}'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(320, 240), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(320, 240), keep_ratio=True),
    # `instances` is the ground truth that CocoMetric reads without an ann_file.
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor', 'instances'))
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='sci_plugins.DarkFaceDataset',
        data_root=data_root + '/faces_train',
        data_prefix=dict(img='image', label='label'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline))
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='sci_plugins.DarkFaceDataset',
        data_root=data_root + '/faces_test',
        data_prefix=dict(img='image', label='label'),
        test_mode=True,
        pipeline=test_pipeline))
val_dataloader = test_dataloader
test_evaluator = dict(type='CocoMetric', metric='bbox')
val_evaluator = test_evaluator
