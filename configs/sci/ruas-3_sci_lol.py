# Another estimator in SCI's cascade: RUAS-like, 3 unrolled iterations. The recipe of
# sci_symmetric_lol with a loss for brightness, shorter. ruas-3_alone_lol is without SCI.
_base_ = ['sci_symmetric_lol.py']
model = dict(
    estimator=dict(
        _delete_=True,
        type='sci_plugins.RUASEnhancer',
        iterations=3,
        channels=3),
    exposure=dict(type='sci_plugins.ExposureLoss', target=0.45, weight=100.0))
train_cfg = dict(max_iters=400)
optim_wrapper = dict(optimizer=dict(lr=3e-3))
param_scheduler = [
    dict(type='CosineAnnealingLR', eta_min=5e-5, by_epoch=False, end=400)
]
custom_hooks = [
    dict(type='sci_plugins.FiniteLossHook'),
    dict(type='sci_plugins.SkippedImagesHook'),
    dict(type='sci_plugins.ChannelSymmetryHook'),
    dict(type='sci_plugins.EnhancedPicturesHook', by_epoch=False, interval=200),
    dict(
        type='sci_plugins.ExportEnhancerHook',
        meta=dict(
            data='LOL, 122 low-light photographs of its training part',
            license='Apache-2.0 (weights); the photographs have terms of their own'))
]
