_base_ = './segformer_mit-b0_20k_acdc-night.py'
model = dict(
    data_preprocessor=dict(
        type='sci_plugins.EnhancedSegDataPreProcessor',
        enhancer=dict(
            type='sci_plugins.SCIEnhancer', weights='official/medium'),
        frozen=False))
custom_hooks = [dict(type='sci_plugins.EnhancementLossHook', weight=1.0)]
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            'data_preprocessor.enhancer': dict(lr_mult=0.1, decay_mult=0.0)
        }))
