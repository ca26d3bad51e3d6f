from flax_transformer.data.batches import pipeline
from flax_transformer.data.datasets import labelled_datasets, parallel_datasets, text_datasets
from flax_transformer.data.datasets.labelled_datasets import open_texts
from flax_transformer.data.datasets.text_datasets import Stream as Stream
from flax_transformer.data.datasets.text_datasets import count_bytes as count_bytes
from flax_transformer.data.datasets.text_datasets import encode_lines as encode_lines
from flax_transformer.data.datasets.text_datasets import encode_stream as encode_stream


def make_tokenizer(config, *, by_line=False):
    if isinstance(config, text_datasets.PlainTextConfig):
        return text_datasets.make_tokenizer(config, by_line=by_line)
    if isinstance(config, labelled_datasets.LabelledTextConfig):
        return labelled_datasets.train_tokenizer(config)
    return pipeline.prepare_training(config, "/nonexistent")[0]
def tokenize_labelled(config, tokenizer, split): return open_texts(config, tokenizer, split)
def tokenize_pairs(config, tokenizer, split):
    opened = parallel_datasets.open_split(config, split)
    return pipeline._kept_pairs(config, tokenizer, split, opened.folder, lambda: list(opened))


tokenize_stream = text_datasets.read_stream
tokenize_lines = text_datasets.read_lines
