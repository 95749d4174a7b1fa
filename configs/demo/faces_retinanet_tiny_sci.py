_base_ = 'faces_retinanet_tiny.py'
model = dict(
    data_preprocessor=dict(
        type='sci_plugins.EnhancedDetDataPreprocessor',
        enhancer=dict(
            type='sci_plugins.SCIEnhancer', weights='sci_plugins/lol')))
