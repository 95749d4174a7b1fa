# LOL's pairs, on which `tools/test.py CONFIG epoch_N.pth` measures a trained model.
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='sci_plugins.stack_images'),
    dataset=dict(
        type='sci_plugins.PairedLowLightDataset',
        data_root='{{$SCI_PLUGINS_DATA:.}}/data/lol/test'))
test_cfg = dict()
test_evaluator = [
    dict(type='sci_plugins.PSNR'),
    dict(type='sci_plugins.SSIM'),
    dict(type='sci_plugins.EME'),
    dict(type='sci_plugins.DiscreteEntropy'),
    dict(type='sci_plugins.LOE'),
    dict(type='sci_plugins.Brightness')
]
