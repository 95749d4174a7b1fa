# The same training in the dark with the adaptive stage in front, its weights frozen.
_base_ = './fast-scnn_w50_30e_camvid-dark.py'
model = dict(
    data_preprocessor=dict(
        type='sci_plugins.EnhancedSegDataPreProcessor',
        enhancer=dict(
            type='sci_plugins.AdaptiveSCIEnhancer', weights='sci_plugins/adaptive')))
