_base_ = './s3fd_vgg16_1x_darkface.py'
model = dict(
    data_preprocessor=dict(
        type='sci_plugins.EnhancedDetDataPreprocessor',
        enhancer=dict(
            type='sci_plugins.SCIEnhancer', weights='official/difficult')))
