_base_ = [
    '../_base_/demo_retinanet_tiny.py', '../_base_/demo_faces.py',
    '../_base_/demo_runtime.py'
]
default_scope = 'mmdet'
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.002, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=10.0))
max_epochs = 10
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR',
        eta_min=2e-5,
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
    type='DetLocalVisualizer',
    vis_backends=[dict(type='LocalVisBackend')],
    name='visualizer')
# Writes the file that the package ships; module='' is the whole network.
custom_hooks = [
    dict(
        type='sci_plugins.ExportEnhancerHook',
        file='demo_faces_retinanet_tiny.pth',
        module='',
        meta=dict(
            type='mmdet.RetinaNet',
            input='BGR, 0 to 255, as mmdet loads images',
            data='faces_train of the built-in demo, version 2',
            command='python tools/train.py configs/demo/faces_retinanet_tiny.py',
            license='Apache-2.0'))
]
