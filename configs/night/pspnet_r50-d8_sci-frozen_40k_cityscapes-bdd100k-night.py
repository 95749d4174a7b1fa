_base_ = './pspnet_r50-d8_40k_cityscapes-bdd100k-night.py'
model = dict(
    data_preprocessor=dict(
        type='sci_plugins.EnhancedSegDataPreProcessor',
        enhancer=dict(
            type='sci_plugins.SCIEnhancer', weights='official/medium')))
