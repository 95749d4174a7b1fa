# WIDER FACE as it is downloaded: WIDER_train, WIDER_val and wider_face_split below one
# folder. S3FD's augmentation: colours; a square of 0.3 to 1 times the short side,
# enlarged to 640x640 (here the image is enlarged first, then cropped); mirrored.
data_root = '{{$SCI_PLUGINS_WIDERFACE:data/WIDERFace}}'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='RandomResize',
        scale=(100000, 640),  # the short side counts
        ratio_range=(1.0, 3.3),
        keep_ratio=True),
    dict(type='RandomCrop', crop_size=(640, 640)),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(4, 4), keep_empty=False),
    dict(type='PhotoMetricDistortion'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale_factor=1.0, keep_ratio=True),  # as they are
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor', 'instances'))
]
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='sci_plugins.WiderFaceTextDataset',
        data_root=data_root,
        ann_file='wider_face_split/wider_face_train_bbx_gt.txt',
        data_prefix=dict(img='WIDER_train/images'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='sci_plugins.WiderFaceTextDataset',
        data_root=data_root,
        ann_file='wider_face_split/wider_face_val_bbx_gt.txt',
        data_prefix=dict(img='WIDER_val/images'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
# COCO's AP over all faces that count; not WIDER FACE's easy, medium and hard, whose
# lists are Matlab files of their own.
# 100 faces an image, as COCO has it: mmdet's 1000 take ten times as long, and count in
# its AP50 but not in its AP.
val_evaluator = dict(
    type='CocoMetric', metric='bbox', proposal_nums=(1, 10, 100))
test_evaluator = val_evaluator
