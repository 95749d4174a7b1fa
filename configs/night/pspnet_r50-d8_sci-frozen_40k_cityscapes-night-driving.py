_base_ = './pspnet_r50-d8_40k_cityscapes-night-driving.py'
model = dict(
    data_preprocessor=dict(
        type='sci_plugins.EnhancedSegDataPreProcessor',
        enhancer=dict(
            type='sci_plugins.SCIEnhancer', weights='official/medium')))
