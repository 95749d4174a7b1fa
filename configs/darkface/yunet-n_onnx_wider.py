# YuNet as it comes, on 100 WIDER FACE validation images of 416x416, which it was not
# trained on. Half of the faces are under 7 px: images are enlarged twice, and faces
# under 8 px (sqrt of the area, before enlarging) are ignored.
_base_ = './yunet-n_onnx_facemask.py'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(832, 832), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor', 'instances'))
]
test_dataloader = dict(
    dataset=dict(
        data_root='{{$SCI_PLUGINS_DATA:.}}/data/wider/',
        split=None,
        min_size=8,
        pipeline=test_pipeline))
