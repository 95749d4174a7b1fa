# Dark photographs of LOL's training part; their bright partners are not used.
# The folder is data/lol/train/low below $SCI_PLUGINS_DATA, or below where you are.
data_root = '{{$SCI_PLUGINS_DATA:.}}/data/lol/train/low'
train_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='sci_plugins.SeededSampler', shuffle=True),
    collate_fn=dict(type='sci_plugins.stack_images'),
    dataset=dict(
        type='sci_plugins.LowLightFolder',
        data_root=data_root,
        skip_unreadable=True))
