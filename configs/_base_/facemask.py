# 244 photographs by day, 1175 mostly masked faces; our split by file name.
# Training sees crops of 256x256 at a random scale, by day: the photometric
# change is mild on purpose, no darkness comes in by it.
data_root = '{{$SCI_PLUGINS_DATA:.}}/data/facemask/'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomResize',
        scale=(640, 640),
        ratio_range=(0.4, 1.5),
        keep_ratio=True),
    dict(type='RandomCrop', crop_size=(256, 256)),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(3, 3), keep_empty=False),
    dict(
        type='PhotoMetricDistortion',
        brightness_delta=16,
        contrast_range=(0.8, 1.2),
        saturation_range=(0.8, 1.2),
        hue_delta=8),
    dict(type='PackDetInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(640, 640), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
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
        type='sci_plugins.CocoFaceDataset',
        split='train',
        data_root=data_root,
        ann_file='coco.json',
        data_prefix=dict(img='images/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='sci_plugins.CocoFaceDataset',
        split='test',
        test_mode=True,
        data_root=data_root,
        ann_file='coco.json',
        data_prefix=dict(img='images/'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
# Without ann_file: the ground truth comes from the images tested.
# 100 faces an image, as COCO has it: mmdet's 1000 take ten times as long, and count in
# its AP50 but not in its AP.
val_evaluator = dict(
    type='CocoMetric', metric='bbox', proposal_nums=(1, 10, 100))
test_evaluator = val_evaluator
