_base_ = './yolox-p2_w25_5e_darkface.py'
model = dict(
    data_preprocessor=dict(
        type='sci_plugins.EnhancedDetDataPreprocessor',
        enhancer=dict(
            type='sci_plugins.SCIEnhancer', weights='official/difficult'),
        frozen=False))
custom_hooks = [dict(type='sci_plugins.EnhancementLossHook', weight=1.0)]
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            'data_preprocessor.enhancer': dict(lr_mult=0.1, decay_mult=0.0)
        }))
