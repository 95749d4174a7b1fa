# YuNet behind the adaptive stage, which sees the photograph as the camera gave it: noise that
# was enlarged is no longer white, and the data preprocessor comes after Resize.
_base_ = './yunet-n_onnx_wider.py'
test_pipeline = _base_.test_pipeline
test_pipeline.insert(1, dict(type='sci_plugins.EnhanceImage', enhancer='adaptive'))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
