"""Multi30k, English to German, with the published recipe; for an accelerator.

    flax-transformer train experiments/multi30k_en_de_full.py --workdir runs/multi30k_full

The recipe of Wu et al. 2021, "Good for Misconceived Reasons", who report 41.02 BLEU on
test_2016_flickr (lower-cased, tokenized): normalization after each sublayer, dropout 0.3, about 130
epochs in 8,000 updates of 8,192 tokens, the mean of the checkpoints of the last ten epochs. Three
seeds: --seed 0, 1 and 2. On two CPU cores 8,000 such updates take about two hours;
multi30k_en_de.py learns more in half an hour.
"""

import flax_transformer as ft

experiment = ft.Experiment(
    data=ft.ParallelTextConfig(
        dataset="multi30k",
        form="tokenized",
        test_split="test_2016_flickr",
        vocab_size=10_000,
        tokens_per_batch=8192,
    ),
    model=ft.ZOO["tiny"].config,
    optimizer=ft.OptimizerConfig(
        schedule="inverse_sqrt", learning_rate=5e-3, warmup_steps=2000, eps=1e-8, clip_norm=25.0
    ),
    training=ft.TrainingConfig(
        num_steps=8000,
        evaluate_every_steps=600,
        checkpoint_every_steps=60,
        keep_checkpoints=10,
    ),
    decoding=ft.DecodingConfig(beam_size=5, length_penalty="power", alpha=1.0),
)
