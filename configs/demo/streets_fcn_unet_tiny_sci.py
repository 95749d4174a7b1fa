_base_ = 'streets_fcn_unet_tiny.py'
model = dict(
    data_preprocessor=dict(
        type='sci_plugins.EnhancedSegDataPreProcessor',
        enhancer=dict(
            type='sci_plugins.SCIEnhancer', weights='sci_plugins/lol')))
