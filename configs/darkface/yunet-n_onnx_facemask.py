# YuNet as it comes, on the test images of facemask at 640 pixels.
_base_ = [
    '../_base_/facemask.py', '../_base_/yunet_n_onnx.py',
    '../_base_/light_runtime.py'
]
default_scope = 'mmdet'
train_dataloader = None
