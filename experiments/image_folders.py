"""Your own images, one folder per class, with a Vision Transformer; needs no code.

Put images at DIR/train/CLASS/IMAGE, DIR/validation/CLASS/IMAGE and DIR/test/CLASS/IMAGE. They are
cropped to squares and resized.

flax-transformer train experiments/image_folders.py --workdir runs/mine --data.folder DIR
flax-transformer classify --workdir runs/mine IMAGE

Without DIR/test, add --data.test-split validation. For larger images, with as many patches:
    --data.image-size 64 --model.image-size 64 64 --model.patch-size 8 8
"""

import flax_transformer as ft

SIZE = 32

experiment = ft.Experiment(
    data=ft.ImagesConfig(
        dataset="image_folders",
        image_size=SIZE,
        batch_size=64,
        augmentation=ft.AugmentationConfig(shift=2, flip=True, rotation=10.0, scale=0.1),
    ),
    model=ft.VisionConfig(
        num_layers=4,
        d_model=96,
        d_ff=192,
        num_heads=4,
        image_size=(SIZE, SIZE),
        patch_size=(4, 4),
        positions="sinusoidal_2d",
        pooling="mean",
        residual_dropout_rate=0.1,
    ),
    task=ft.ClassificationConfig(label_smoothing=0.1),
    optimizer=ft.OptimizerConfig("cosine", 1e-3, warmup_steps=200, clip_norm=1.0),
    training=ft.TrainingConfig(
        num_steps=3000,
        evaluate_every_steps=500,
        checkpoint_every_steps=500,
        keep_checkpoints=1,
    ),
)
