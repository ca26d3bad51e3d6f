"""Numbers in words, English to German, built in: trained in a minute and a half on two cores.

    flax-transformer train experiments/number_words.py --workdir runs/number_words

"twenty-three" becomes "dreiundzwanzig", three-and-twenty: attention has to learn the change of word
order. 20,000 numbers below a million are for training, 1,000 others each for validation and test.

The score is exact match: a German number is one word, and BLEU would be 0, as it counts 4-grams.

To French: --data.target-language fr
"""

import flax_transformer as ft

experiment = ft.Experiment(
    data=ft.ParallelTextConfig(
        dataset="number_words",
        # Few merges, so that a subword is one number word and not a sequence of them.
        vocab_size=400,
        max_length=64,
        tokens_per_batch=4096,
        num_buckets=3,
    ),
    model=ft.EncoderDecoderConfig(
        num_encoder_layers=2,
        num_decoder_layers=2,
        d_model=128,
        d_ff=256,
        num_heads=4,
        norm_placement="pre",
        residual_dropout_rate=0.0,
    ),
    optimizer=ft.OptimizerConfig(
        schedule="cosine", learning_rate=3e-3, warmup_steps=100, clip_norm=1.0
    ),
    training=ft.TrainingConfig(
        num_steps=200,
        evaluate_every_steps=100,
        checkpoint_every_steps=100,
        keep_checkpoints=1,
        best_score="exact_match",
    ),
    decoding=ft.DecodingConfig(max_extra_length=32),
)
