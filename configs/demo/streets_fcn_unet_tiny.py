_base_ = [
    '../_base_/demo_fcn_unet_tiny.py', '../_base_/demo_streets.py',
    '../_base_/demo_runtime.py'
]
default_scope = 'mmseg'
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.003, weight_decay=0.01),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=10.0))
max_epochs = 10
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='PolyLR',
        power=0.9,
        eta_min=1e-5,
        begin=0,
        end=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True)
]
train_cfg = dict(
    type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
visualizer = dict(
    type='SegLocalVisualizer',
    vis_backends=[dict(type='LocalVisBackend')],
    name='visualizer')
# Writes the file that the package ships; module='' is the whole network.
custom_hooks = [
    dict(
        type='sci_plugins.ExportEnhancerHook',
        file='demo_streets_fcn_unet_tiny.pth',
        module='',
        meta=dict(
            type='mmseg.EncoderDecoder',
            input='BGR, 0 to 255, as mmseg loads images',
            data='streets_train of the built-in demo, version 2',
            command='python tools/train.py configs/demo/streets_fcn_unet_tiny.py',
            license='Apache-2.0'))
]
