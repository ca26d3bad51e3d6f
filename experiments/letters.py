"""Rows of letters to reverse, to copy or to sort: the smallest task that needs attention.

    flax-transformer train experiments/letters.py --workdir runs/reverse
    flax-transformer train experiments/letters.py --workdir runs/sort --data.dataset sort
    flax-transformer translate --workdir runs/reverse "a b c"

Takes about two minutes on two CPU cores, without a network.
"""

import flax_transformer as ft

experiment = ft.Experiment(
    data=ft.ParallelTextConfig(
        dataset="reverse", vocab_size=307, max_length=24, tokens_per_batch=2048, num_buckets=2
    ),
    model=ft.EncoderDecoderConfig(
        num_encoder_layers=2,
        num_decoder_layers=2,
        d_model=64,
        d_ff=128,
        num_heads=4,
        norm_placement="pre",
        residual_dropout_rate=0.0,
    ),
    task=ft.TranslationConfig(label_smoothing=0.0),
    optimizer=ft.OptimizerConfig("cosine", 3e-3, warmup_steps=100, clip_norm=1.0),
    training=ft.TrainingConfig(
        num_steps=1200,
        evaluate_every_steps=300,
        checkpoint_every_steps=300,
        keep_checkpoints=1,
        best_score="exact_match",
        log_every_steps=100,
    ),
)
