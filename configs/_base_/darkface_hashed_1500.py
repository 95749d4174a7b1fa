# DARK FACE enlarged to 1500x1000, split 5400/600: the protocol of MAET, FeatEnHancer
# and YOLA, except that their list is not public and ours is another one.
_base_ = './darkface_regdet.py'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(1500, 1000), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1500, 1000), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor', 'instances'))
]
train_dataloader = dict(
    dataset=dict(split='hashed_train', pipeline=train_pipeline))
test_dataloader = dict(
    dataset=dict(split='hashed_test', pipeline=test_pipeline))
val_dataloader = test_dataloader
