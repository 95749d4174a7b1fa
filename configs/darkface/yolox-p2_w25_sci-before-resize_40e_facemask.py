# For tests with the baseline's checkpoint: SCI as a step of the pipeline sees the
# image as loaded, and gives 8 bits on. In the data preprocessor instead (the other
# SCI configs, `tools/compare.py --variants sci/...`) it sees the enlarged image.
# Other weights: --cfg-options test_dataloader.dataset.pipeline.1.enhancer=sci/NAME
_base_ = './yolox-p2_w25_40e_facemask.py'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='sci_plugins.EnhanceImage', enhancer='sci/official/medium'),
    dict(type='Resize', scale=(640, 640), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor', 'instances'))
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
