# YuNet as it comes, on DARK FACE images enlarged twice. With the few images at hand
# this is a smoke test, never a benchmark.
_base_ = './yunet-n_onnx_facemask.py'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2160, 1440), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor', 'instances'))
]
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='sci_plugins.DarkFaceDataset',
        data_root='{{$SCI_PLUGINS_DATA:.}}/data/darkface/',
        test_mode=True,
        pipeline=test_pipeline))
