# As yolox-p2_w25_sci-before-resize_40e_facemask.py, tested on WIDER FACE.
_base_ = './yolox-p2_w25_40e_facemask-wider.py'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='sci_plugins.EnhanceImage', enhancer='sci/official/medium'),
    dict(type='Resize', scale=(832, 832), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor', 'instances'))
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
