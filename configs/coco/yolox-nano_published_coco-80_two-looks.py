# The same network, which looks at each image twice: as it is, and enhanced by the adaptive stage
# before the resize; both predictions are merged. Only for tests.
_base_ = './yolox-nano_published_coco-80.py'
test_dataloader = dict(
    dataset=dict(pipeline=[
        dict(type='LoadImageFromFile'),
        dict(
            type='sci_plugins.RawAndEnhanced',
            enhancer='adaptive',
            transforms=_base_.test_dataloader.dataset.pipeline[1:])
    ]))
model = dict(
    _delete_=True,
    type='sci_plugins.RawEnhancedMerge',
    views=True,
    host=_base_.model)
