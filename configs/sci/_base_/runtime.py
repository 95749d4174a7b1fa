default_scope = 'mmengine'
randomness = dict(seed=2)
log_processor = dict(by_epoch=True)
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2))
custom_hooks = [dict(type='sci_plugins.ExportEnhancerHook')]
