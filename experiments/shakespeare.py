"""A language model of characters: tinyshakespeare, in nanoGPT's setting for a CPU.

    flax-transformer train experiments/shakespeare.py --workdir runs/shakespeare
    flax-transformer generate --workdir runs/shakespeare "ROMEO:"

Takes about two minutes on two CPU cores. The data are downloaded, or read from --data.manual-dir.
"""

import flax_transformer as ft

experiment = ft.Experiment(
    data=ft.PlainTextConfig(tokens="characters", max_length=64, batch_size=12),
    model=ft.DecoderOnlyConfig(
        num_layers=4,
        d_model=128,
        d_ff=512,
        num_heads=4,
        attention_bias=False,
        max_positions=64,
        residual_dropout_rate=0.0,
        attention_dropout_rate=0.0,
    ),
    task=ft.LanguageModelingConfig(),
    optimizer=ft.OptimizerConfig("cosine", 1e-3, warmup_steps=100, b2=0.99, clip_norm=1.0),
    training=ft.TrainingConfig(
        num_steps=2000,
        evaluate_every_steps=1000,
        checkpoint_every_steps=1000,
        keep_checkpoints=1,
        log_every_steps=100,
    ),
    decoding=ft.DecodingConfig("sample", max_extra_length=500, temperature=0.8, top_k=200),
)
