"""Multi30k, English to German: image captions, trained from scratch in half an hour on two cores.

    flax-transformer train experiments/multi30k_en_de.py --workdir runs/multi30k_en_de

The data set is downloaded; --data.manual-dir DIR uses existing files. By default these are the
authors' lower-cased, tokenized files, scored without further tokenization, as in published results.
Cased, untokenized text: --data.form raw
To French: --data.target-language fr

The size is that of Wu et al. 2021, "Good for Misconceived Reasons", who reach 41.02 BLEU with 8,000
updates of 8,192 tokens. Here normalization comes before each sublayer, the vocabulary is smaller
and the learning rate falls to zero. With these changes the model learns faster in few updates.
"""

import dataclasses

import flax_transformer as ft

experiment = ft.Experiment(
    data=ft.ParallelTextConfig(
        dataset="multi30k",
        form="tokenized",
        test_split="test_2016_flickr",
        vocab_size=4000,
        max_length=64,
        tokens_per_batch=3000,
    ),
    model=dataclasses.replace(
        ft.ZOO["tiny"].config, norm_placement="pre", residual_dropout_rate=0.1
    ),
    optimizer=ft.OptimizerConfig(schedule="cosine", learning_rate=4e-3, warmup_steps=500),
    training=ft.TrainingConfig(
        num_steps=5000,
        evaluate_every_steps=1000,
        checkpoint_every_steps=100,
        keep_checkpoints=5,
    ),
    decoding=ft.DecodingConfig(beam_size=5, length_penalty="power", alpha=1.0),
)
