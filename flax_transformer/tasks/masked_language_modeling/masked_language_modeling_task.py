"""Masked language modeling: the loss of hidden tokens, scores and a filler of gaps."""

import dataclasses
import itertools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from flax_transformer.data.batches.batch import LabeledBatch
from flax_transformer.data.batches.examples import ExampleBatches, Examples, TextInputs
from flax_transformer.data.data_config import DataConfig
from flax_transformer.data.datasets.own_files import OwnFiles, read_own_documents, read_own_texts
from flax_transformer.data.labeled_text_config import LabeledTextConfig
from flax_transformer.data.plain_text_config import PlainTextConfig
from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.data.tokens.tokenized_splits import (
    encode_lines,
    make_tokenizer,
    tokenize_labeled,
    tokenize_lines,
)
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.evaluation.metric import compute_scores
from flax_transformer.functional.losses import label_smoothed_cross_entropy
from flax_transformer.tasks.given_texts import warn_of_cut_texts
from flax_transformer.tasks.masked_language_modeling.mask_filler import MASK_TEXT, MaskFiller
from flax_transformer.tasks.masked_language_modeling.masking import mask_tokens, room_for_chosen
from flax_transformer.tasks.target_tokens import Counts, add_counts, count_tokens
from flax_transformer.tasks.task import (
    NUM_SAMPLES,
    Example,
    Fields,
    Loss,
    Model,
    Scored,
    Variables,
    apply_in_training,
    loss_of,
)
from flax_transformer.tasks.task_config import TaskConfig
from flax_transformer.tasks.text_task import TextTask

ROWS = 64  # rows of an evaluation's batches: enough to keep the processor busy
MAX_PASSES = 50  # passes over texts in which no token was hidden; each pass hides other tokens


@dataclasses.dataclass(frozen=True)
class MaskedLanguageModelingConfig(TaskConfig):
    """How a masked language model is trained."""

    mask_rate: float = 0.15
    """Probability that a token is hidden and must be predicted."""

    def __post_init__(self) -> None:
        """Rejects a rate that is not between 0 and 1."""
        super().__post_init__()
        if not 0 < self.mask_rate < 1:
            raise UserError(f"--task.mask-rate must be above 0 and below 1, not {self.mask_rate}")


class MaskedLanguageModelingTask(TextTask):
    """Predicts hidden tokens of texts with an encoder-only model.

    Reference:
        Devlin et al. 2019, "BERT", section 3.1, task 1.
    """

    description = "a text with gaps to the missing tokens"
    config = MaskedLanguageModelingConfig
    reads = (PlainTextConfig, LabeledTextConfig)
    takes = ("tokens", "vectors")
    scores = ("loss", "perplexity", "token_accuracy")
    unit = "texts"
    command = "fill"
    method = "predict_tokens"

    @classmethod
    def learn_tokenizer(cls, data: DataConfig) -> Tokenizer:
        """Learns the tokenizer from the training split; by lines if the data are read by lines."""
        return make_tokenizer(data, by_line=isinstance(data, PlainTextConfig))

    def mixes_rows(self) -> bool:
        """Returns True: the texts of a batch share the room for hidden tokens."""
        return True

    def batches(self, split: str, *, num_devices: int = 1) -> ExampleBatches:
        """Makes batches of texts."""
        data, seed = self.experiment.data, self.experiment.seed
        examples = self.open_split(split)
        return ExampleBatches(examples, data.batch_size, seed=seed)

    def loss(self, variables: Variables, batch: LabeledBatch, rng: PRNGKeyArray) -> Loss:
        """Computes the cross-entropy of tokens that are hidden at random."""
        mask_rng, dropout_rng = jax.random.split(rng)
        inputs, targets, is_asked = self._hide(batch, mask_rng)
        logits, collections = apply_in_training(
            self.model, variables, dropout_rng, **inputs, deterministic=False, method=_score
        )
        weights, smoothing = is_asked.astype(jnp.float32), self.experiment.task.label_smoothing
        loss, weight = label_smoothed_cross_entropy(logits, targets, weights, smoothing)
        return loss_of(loss, weight, collections)

    def count(self, variables: Variables, batch: LabeledBatch, rng: PRNGKeyArray) -> Counts:
        """Counts correct predictions of tokens that are hidden as in training."""
        inputs, targets, is_asked = self._hide(batch, rng)
        logits = self.model.apply(variables, **inputs, deterministic=True, method=_score)
        return count_tokens(logits, targets, is_asked)

    def evaluate(
        self, variables: Variables, split: str | OwnFiles, *, is_quick: bool = False
    ) -> Scored:
        """Scores predictions of hidden tokens, the same every time; unless quick, fills gaps."""
        examples = self.read(split)
        num_samples = min(NUM_SAMPLES, len(examples.inputs))
        gaps = [self._gap(tokens) for tokens in self._first_texts(examples, num_samples)]
        scores = compute_scores(self.scores, **self._sum(variables, examples))
        filled = [] if is_quick else self.predictor(variables).fill(gaps)
        lines = [f"  {gap} -> {found.text}" for gap, found in zip(gaps, filled, strict=False)]
        return Scored(scores, [], lines, gaps[0])

    def predictor(self, variables: Variables) -> MaskFiller:
        """Makes a filler of gaps."""
        return MaskFiller(*self.predictor_parts(variables))

    def first_example(self, split: str | OwnFiles) -> Example:
        """Returns the first text of a split, with a gap."""
        (tokens,) = self._first_texts(self.read(split), 1)
        return Example(self._gap(tokens), self.tokenizer.decode(tokens))

    def examples(self, batch: LabeledBatch) -> Iterator[Fields]:
        """Yields the texts."""
        assert batch.segments is not None
        for row, (tokens, segments) in enumerate(zip(batch.inputs, batch.segments, strict=True)):
            if segments.any():
                yield {"row": row, "text": self.tokenizer.decode(tokens)}

    def _hide(
        self, batch: LabeledBatch, rng: PRNGKeyArray
    ) -> tuple[dict[str, Array], Int[Array, "1 room"], Bool[Array, "1 room"]]:
        """The model's inputs, the hidden tokens, and False for unused places."""
        tokens, rate = jnp.asarray(batch.inputs), self.experiment.task.mask_rate
        hidden, is_chosen = mask_tokens(rng, tokens, self.tokenizer, rate)
        # The head is most of the work of a small model, so it runs only at the chosen places.
        room = room_for_chosen(tokens.size, rate)
        places = jnp.flatnonzero(is_chosen, size=room, fill_value=tokens.size)
        targets = tokens.ravel().at[places].get(mode="clip")
        inputs = {"tokens": hidden, "segments": jnp.asarray(batch.segments), "places": places}
        return inputs, targets[None], (places < tokens.size)[None]

    def _sum(self, variables: Variables, examples: Examples) -> Counts:
        """Sums the counts of all examples; repeats very short ones until a token is hidden."""
        batches = ExampleBatches(examples, min(ROWS, len(examples.inputs)), seed=None)
        keys = map(jax.random.key, itertools.count())
        for _ in range(MAX_PASSES):
            parts = (self._count(variables, batch, next(keys)) for _, batch in batches.epoch())
            total = add_counts(jax.tree.map(float, part) for part in parts)
            if total["num_targets"]:
                return total
        raise UserError(
            "the texts to score are so short that no token of them was hidden: give more text, or "
            "train with a larger --task.mask-rate"
        )

    def open_split(self, split: str | OwnFiles) -> Examples:
        """The texts of a split between begin and end marks; all have the same class."""
        data, tokenizer = self.experiment.data, self.tokenizer
        is_plain, where = isinstance(data, PlainTextConfig), f"of the split {split}"
        if isinstance(split, OwnFiles):
            where = ""
            if is_plain:
                texts = encode_lines(tokenizer, read_own_documents(split), data.max_length)
            else:
                texts = TokenizedText.encode(tokenizer, read_own_texts(split), begin=True)
            if not len(texts.lengths):
                raise UserError(f"{split.file} has no line of text: give another file")
        elif is_plain:
            texts = tokenize_lines(data, tokenizer, split)
        else:
            labeled = tokenize_labeled(data, tokenizer, split).inputs
            assert isinstance(labeled, TextInputs)
            texts = labeled.texts
        inputs = TextInputs(texts, data.max_length)
        warn_of_cut_texts(inputs, where)
        return Examples(inputs, np.zeros(len(inputs), np.int32))

    def _first_texts(self, examples: Examples, number: int) -> list[np.ndarray]:
        """The tokens of the first texts, without marks and padding."""
        rows, _ = examples.inputs.take(np.arange(number))
        return [row[~np.isin(row, self.tokenizer.special_ids)] for row in rows]

    def _gap(self, tokens: np.ndarray) -> str:
        """A text with its middle token hidden."""
        middle = len(tokens) // 2
        before, token, after = (
            self.tokenizer.decode(ids)
            for ids in (tokens[:middle], tokens[middle : middle + 1], tokens[middle + 1 :])
        )
        return before + " " * token.startswith(" ") + MASK_TEXT + after


def _score(
    model: Model, tokens: Array, segments: Array, places: Array, deterministic: bool
) -> Array:
    """Computes the logits at some places of a flattened batch; clips out-of-range indices."""
    hidden = model(tokens, segments=segments, deterministic=deterministic)
    chosen = hidden.reshape(-1, hidden.shape[-1]).at[places].get(mode="clip")
    is_token = places < tokens.size
    return model.score_tokens(chosen[None], is_token[None], deterministic=deterministic)
