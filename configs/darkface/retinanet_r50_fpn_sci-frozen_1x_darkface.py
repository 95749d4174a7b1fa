_base_ = './retinanet_r50_fpn_1x_darkface.py'
model = dict(
    data_preprocessor=dict(
        type='sci_plugins.EnhancedDetDataPreprocessor',
        enhancer=dict(
            type='sci_plugins.SCIEnhancer', weights='official/difficult')))
