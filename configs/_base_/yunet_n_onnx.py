# YuNet-n from its ONNX file, frozen: for tests only. There is nothing to train, and no
# checkpoint: `python tools/compare.py CONFIG none`. Images stay BGR on the [0, 255]
# scale. Padding is the data preprocessor's, after the enhancer, so that no black
# border is enhanced.
model = dict(
    type='sci_plugins.YuNetONNX',
    weights='{{$SCI_PLUGINS_DATA:.}}/data/yunet/yunet_n_dynamic.onnx',
    score_thr=0.02,
    iou_threshold=0.45,
    data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32))
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
