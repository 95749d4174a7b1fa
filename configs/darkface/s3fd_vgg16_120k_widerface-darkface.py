# Zero-shot: the network trained by day on WIDER FACE, tested on DARK FACE's 1000.
_base_ = './s3fd_vgg16_120k_widerface.py'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1080, 720), keep_ratio=True),
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
        data_root='{{$SCI_PLUGINS_DARKFACE:data/DarkFace}}',
        split='regdet_test',
        test_mode=True,
        pipeline=test_pipeline))
test_evaluator = dict(_delete_=True, type='sci_plugins.DarkFaceMetric')
