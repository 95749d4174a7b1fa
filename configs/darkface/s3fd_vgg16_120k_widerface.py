# S3FD by day, on the schedule of its paper: 80k, 20k and 20k iterations of 32 images.
_base_ = [
    '../_base_/s3fd_vgg16.py', '../_base_/widerface.py',
    '../_base_/detector_runtime.py'
]
# As in the authors' files: biases learn twice as fast and do not decay.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.001, momentum=0.9, weight_decay=0.0005),
    paramwise_cfg=dict(bias_lr_mult=2.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=35, norm_type=2))
param_scheduler = [
    dict(
        type='LinearLR', start_factor=0.001, by_epoch=False, begin=0,
        end=1000),
    dict(
        type='MultiStepLR',
        by_epoch=False,
        milestones=[80000, 100000],
        gamma=0.1)
]
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=120000, val_interval=20000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=5000, max_keep_ckpts=2))
log_processor = dict(by_epoch=False)
# Four processes of eight images; enable it for another number.
auto_scale_lr = dict(enable=False, base_batch_size=32)
