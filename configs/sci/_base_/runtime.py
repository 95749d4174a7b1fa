default_scope = 'mmengine'
randomness = dict(seed=2)
log_processor = dict(by_epoch=True)
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50),
    checkpoint=dict(
        type='sci_plugins.AtomicCheckpointHook', interval=1, max_keep_ckpts=2))
custom_hooks = [
    dict(type='sci_plugins.FiniteLossHook'),
    dict(type='sci_plugins.SkippedImagesHook'),
    dict(type='sci_plugins.EnhancedPicturesHook', interval=10),
    dict(type='sci_plugins.ExportEnhancerHook'),
]
# Curves: `tensorboard --logdir work_dirs`, where tensorboard is installed.
visualizer = dict(
    type='Visualizer',
    vis_backends=[
        dict(type='LocalVisBackend'),
        dict(type='sci_plugins.TensorboardVisBackend')
    ])
