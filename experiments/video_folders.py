"""Your own videos, one folder per class, with a video Transformer; needs no code.

Put clips at DIR/train/CLASS/CLIP, DIR/validation/CLASS/CLIP and DIR/test/CLASS/CLIP. A clip is a
GIF, WebP or PNG of several frames, a folder of images, or with pip install '.[videos]' a video file
such as an .mp4. Frames are sampled evenly from a clip, cropped to squares and resized.

flax-transformer train experiments/video_folders.py --workdir runs/mine --data.folder DIR
flax-transformer classify --workdir runs/mine CLIP

Without DIR/test, add --data.test-split validation. For larger and more frames:
    --data.image-size 64 --model.image-size 64 64 --data.num-frames 16 --model.num-frames 16
"""

import flax_transformer as ft

SIZE, NUM_FRAMES = 32, 8

experiment = ft.Experiment(
    data=ft.VideosConfig(
        dataset="video_folders",
        image_size=SIZE,
        num_frames=NUM_FRAMES,
        batch_size=32,
        augmentation=ft.AugmentationConfig(shift=2),
    ),
    model=ft.VideoConfig(
        variant="factorized_encoder",
        num_layers=2,
        num_time_layers=2,
        d_model=64,
        d_ff=128,
        num_heads=4,
        image_size=(SIZE, SIZE),
        patch_size=(8, 8),
        num_frames=NUM_FRAMES,
        tubelet_frames=2,
        pooling="mean",
    ),
    task=ft.ClassificationConfig(label_smoothing=0.1),
    optimizer=ft.OptimizerConfig("cosine", 1e-3, warmup_steps=100, clip_norm=1.0),
    training=ft.TrainingConfig(
        num_steps=1000,
        evaluate_every_steps=250,
        checkpoint_every_steps=250,
        keep_checkpoints=1,
    ),
)
