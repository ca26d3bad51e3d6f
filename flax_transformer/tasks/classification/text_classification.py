"""Classification of texts by an encoder-only model."""

from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from flax_transformer.data.batches.batch import LabeledBatch
from flax_transformer.data.batches.examples import Examples, TextInputs
from flax_transformer.data.data_config import DataConfig
from flax_transformer.data.datasets.own_files import OwnFiles, read_own_table
from flax_transformer.data.labeled_text_config import LabeledTextConfig
from flax_transformer.data.tokens.saved_tokenizer import load_tokenizer
from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.data.tokens.tokenized_splits import make_tokenizer, tokenize_labeled
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.tasks.classification.classification_task import ClassificationTask
from flax_transformer.tasks.classification.classifier import Classifier
from flax_transformer.tasks.given_texts import encode_text, list_texts
from flax_transformer.tasks.task import TOKENIZER, Fields, Variables
from flax_transformer.tasks.text_predictor import one_row, refuse_target, text_attention
from flax_transformer.tasks.text_vectors import EmbedsTexts


class TextClassifier(Classifier, EmbedsTexts):
    """Classifies many texts, and gives their vectors, with a model that is loaded once.

    Attributes:
        tokenizer: of the model.
        max_length: tokens that the model reads at a time, marks included.
    """

    def __init__(self, task: "TextClassification", variables: Variables):
        super().__init__(task, variables)
        self.tokenizer, self.max_length = task.tokenizer, task.experiment.data.max_length

    def given(self, example: str, target: str | None = None) -> Fields:
        """Returns the arguments of the model for a text."""
        refuse_target(target)
        ids = encode_text(self.tokenizer, "text", example, self.max_length, begin=True, end=True)
        return one_row(ids)


class TextClassification(ClassificationTask):
    """Predicts the classes of texts."""

    description = "a text to its class"
    reads = (LabeledTextConfig,)
    takes = ("tokens", "vectors")
    unit = "texts"
    method = "classify"
    tokenizer: Tokenizer

    @classmethod
    def open_tokenizer(cls, data: DataConfig, folder: Path, training: bool) -> Tokenizer:
        """Reads the tokenizer; a trained model needs its own, as another one has other ids."""
        path = folder / TOKENIZER
        return make_tokenizer(data) if training and not path.exists() else load_tokenizer(path)

    @classmethod
    def read_split(cls, data: DataConfig, tokenizer: Tokenizer, split: str) -> Examples:
        """Reads a split."""
        return tokenize_labeled(data, tokenizer, split)

    def read_own(self, files: OwnFiles) -> Examples:
        """Reads a table of labeled texts."""
        texts, labels = read_own_table(files, self.class_names)
        return Examples(self.read(texts), labels, self.class_names)

    def given(self, batch: LabeledBatch | None = None) -> Fields:
        """Returns token ids and segments."""
        if batch is None:
            return {"tokens": jnp.full((1, 1), self.tokenizer.bos_id, jnp.int32)}
        return {"tokens": jnp.asarray(batch.inputs), "segments": jnp.asarray(batch.segments)}

    def read(self, inputs: str | Sequence[str]) -> TextInputs:
        """Tokenizes texts."""
        texts = TokenizedText.encode(self.tokenizer, list_texts(inputs), begin=True)
        return TextInputs(texts, self.experiment.data.max_length)

    def predictor(self, variables: Variables) -> TextClassifier:
        """Makes a classifier."""
        return TextClassifier(self, variables)

    def attention(self, variables: Variables, given: str) -> Fields:
        """Computes the attention between the tokens of a text."""
        longest = self.experiment.data.max_length
        ids = encode_text(self.tokenizer, "text", given, longest, begin=True, end=True)
        return text_attention(self.model, variables, self.tokenizer, ids)

    def show(self, given: np.ndarray) -> str:
        """Shows a text."""
        return self.tokenizer.decode(given)
