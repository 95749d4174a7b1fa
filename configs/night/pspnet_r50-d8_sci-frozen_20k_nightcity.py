_base_ = './pspnet_r50-d8_20k_nightcity.py'
model = dict(
    data_preprocessor=dict(
        type='sci_plugins.EnhancedSegDataPreProcessor',
        enhancer=dict(
            type='sci_plugins.SCIEnhancer', weights='official/medium')))
