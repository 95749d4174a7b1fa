_base_ = './s3fd_vgg16_120k_widerface-darkface.py'
model = dict(
    data_preprocessor=dict(
        type='sci_plugins.EnhancedDetDataPreprocessor',
        enhancer=dict(
            type='sci_plugins.SCIEnhancer', weights='official/difficult')))
