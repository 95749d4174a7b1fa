# The recipe of the weights sci_plugins/lol: sci_symmetric_lol with a loss for the
# brightness of the result, which SCI's own losses leave to chance.
_base_ = ['sci_symmetric_lol.py']
model = dict(
    exposure=dict(type='sci_plugins.ExposureLoss', target=0.45, weight=100.0))
train_cfg = dict(max_iters=1000)
optim_wrapper = dict(optimizer=dict(lr=3e-3))
param_scheduler = [
    dict(type='CosineAnnealingLR', eta_min=5e-5, by_epoch=False, end=1000)
]
custom_hooks = [
    dict(type='sci_plugins.FiniteLossHook'),
    dict(type='sci_plugins.SkippedImagesHook'),
    dict(type='sci_plugins.ChannelSymmetryHook'),
    # Else the stages, of different brightness, share running statistics that fit
    # none of them, and the exported estimator is far brighter than in training.
    dict(type='sci_plugins.FrozenNormHook'),
    dict(type='sci_plugins.EnhancedPicturesHook', by_epoch=False, interval=500),
    dict(
        type='sci_plugins.ExportEnhancerHook',
        meta=dict(
            data='LOL, 122 low-light photographs of its training part',
            command='python tools/train.py configs/sci/sci_exposure_lol.py',
            license='Apache-2.0 (weights); the photographs have terms of their own'))
]
