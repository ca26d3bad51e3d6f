r"""Sentences of film reviews, negative or positive: SST-2, from scratch.

    flax-transformer train experiments/sst2.py --workdir runs/sst2
    flax-transformer classify --workdir runs/sst2 "a gripping and funny film"

The data are downloaded, or read from --data.manual-dir: whole sentences, without the phrases of the
treebank; higher published scores often use those too. A model overfits so few sentences soon. So
training drops three of ten tokens, uses weight decay on matrices, and averages the last updates.
Relative positions (Shaw et al.) work better for such sentences than absolute ones.
"""

import flax_transformer as ft

experiment = ft.Experiment(
    data=ft.LabeledTextConfig(dataset="sst2", vocab_size=8000, max_length=64, batch_size=64),
    model=ft.EncoderOnlyConfig(
        num_layers=1,
        d_model=128,
        d_ff=256,
        num_heads=4,
        pooling="mean",
        positions="relative",
        residual_dropout_rate=0.3,
        token_dropout_rate=0.3,
    ),
    task=ft.ClassificationConfig(label_smoothing=0.1),
    optimizer=ft.OptimizerConfig(
        "cosine",
        1e-3,
        warmup_steps=100,
        name="adamw",
        weight_decay=0.1,
        clip_norm=1.0,
        ema_decay=0.99,
    ),
    training=ft.TrainingConfig(
        num_steps=600,
        evaluate_every_steps=200,
        checkpoint_every_steps=200,
        keep_checkpoints=1,
        log_every_steps=100,
    ),
)
