_base_ = './segformer_mit-b0_20k_acdc-night.py'
model = dict(
    data_preprocessor=dict(
        type='sci_plugins.EnhancedSegDataPreProcessor',
        enhancer=dict(
            type='sci_plugins.SCIEnhancer', weights='official/medium')))
