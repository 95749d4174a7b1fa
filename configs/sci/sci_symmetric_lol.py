# The recipe of the weights sci_plugins/lol: the authors' cascade and losses on small
# crops, minutes instead of days, with the colour channels kept alike.
_base_ = [
    '_base_/learner.py', '_base_/lol.py', '_base_/lol_test.py', '_base_/adam.py',
    '_base_/runtime.py'
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='sci_plugins.SeededInfiniteSampler', shuffle=True),
    dataset=dict(crop_size=48, flip=True, cache=True))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2000)
optim_wrapper = dict(
    optimizer=dict(lr=1e-3),
    # A slower calibrator: it follows the estimator and does not outrun it.
    paramwise_cfg=dict(custom_keys={'calibrator': dict(lr_mult=0.1)}))
log_processor = dict(by_epoch=False)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=100))
custom_hooks = [
    dict(type='sci_plugins.FiniteLossHook'),
    dict(type='sci_plugins.SkippedImagesHook'),
    dict(type='sci_plugins.ChannelSymmetryHook'),
    dict(type='sci_plugins.EnhancedPicturesHook', by_epoch=False, interval=500),
    dict(
        type='sci_plugins.ExportEnhancerHook',
        meta=dict(
            data='LOL, 122 low-light photographs of its training part',
            command='python tools/train.py configs/sci/sci_symmetric_lol.py',
            license='Apache-2.0 (weights); the photographs have terms of their own'))
]
