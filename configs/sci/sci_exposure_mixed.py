# The recipe of the weights sci_plugins/gentle: dark photographs and photographs at all
# exposures, and a brightness loss by which bright ones keep theirs.
_base_ = ['sci_exposure_lol.py']
data_root = '{{$SCI_PLUGINS_DATA:.}}/data/'
train_dataloader = dict(
    dataset=dict(data_root=[
        data_root + 'lol/train/low', data_root + 'lowlight',
        data_root + 'exposures'
    ]))
model = dict(exposure=dict(target=0.35, weight=60.0))
train_cfg = dict(max_iters=400)
param_scheduler = [
    dict(type='CosineAnnealingLR', eta_min=5e-5, by_epoch=False, end=400)
]
randomness = dict(seed=0)
custom_hooks = [
    dict(type='sci_plugins.FiniteLossHook'),
    dict(type='sci_plugins.SkippedImagesHook'),
    dict(type='sci_plugins.ChannelSymmetryHook'),
    dict(type='sci_plugins.FrozenNormHook'),
    dict(type='sci_plugins.EnhancedPicturesHook', by_epoch=False, interval=500),
    dict(
        type='sci_plugins.ExportEnhancerHook',
        meta=dict(
            data='LOL (122 low-light photographs of its training part), DICM and LIME '
            '(37 dark photographs), 334 photographs at many exposures',
            command='python tools/train.py configs/sci/sci_exposure_mixed.py',
            license='Apache-2.0 (weights); the photographs have terms of their own'))
]
