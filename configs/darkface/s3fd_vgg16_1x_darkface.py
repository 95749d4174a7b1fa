# S3FD trained on in the dark, from the network that was trained by day on WIDER FACE:
# with SCI frozen in front it is fine-tuned on enhanced images, with SCI joint both
# learn together. The crops are those of its training by day, without its colours:
# +-32 grey levels would drown what is in the dark.
_base_ = [
    '../_base_/s3fd_vgg16.py', '../_base_/darkface_regdet.py',
    'mmdet::_base_/schedules/schedule_1x.py', '../_base_/detector_runtime.py'
]
# load_from holds the whole network: no need to fetch VGG's weights before.
model = dict(backbone=dict(init_cfg=None))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='RandomResize',
        scale=(1080, 720),
        ratio_range=(1.0, 3.0),
        keep_ratio=True),
    dict(type='RandomCrop', crop_size=(640, 640)),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(4, 4), keep_empty=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(
    optimizer=dict(lr=0.0005, weight_decay=0.0005),
    paramwise_cfg=dict(bias_lr_mult=2.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=35, norm_type=2))
auto_scale_lr = dict(base_batch_size=4)
load_from = '{{$SCI_PLUGINS_DAY_DETECTOR:work_dirs/s3fd_vgg16_120k_widerface/iter_120000.pth}}'
