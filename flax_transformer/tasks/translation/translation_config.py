"""How a translation model is trained and scored."""

import dataclasses
from typing import get_args

from flax_transformer.errors import unknown
from flax_transformer.evaluation.bleu_tokenizers import BleuTokenizer
from flax_transformer.functional.losses import SmoothingOver
from flax_transformer.tasks.task_config import TaskConfig


@dataclasses.dataclass(frozen=True)
class TranslationConfig(TaskConfig):
    """How a translation model is trained and scored."""

    label_smoothing: float = 0.1
    """Share of the target's probability that is spread evenly; see smoothing_over."""
    smoothing_over: SmoothingOver = "vocab"
    """Tokens that get this share: the whole vocab (Szegedy et al. 2016), or all tokens except the
    target (T2T, fairseq)."""
    bleu_tokenizer: BleuTokenizer = "auto"
    """sacreBLEU's name of the tokenizer that splits texts into words for BLEU. auto chooses by the
    target language, or by the script of the references: zh; ja-mecab and ko-mecab if they are
    installed; char if words are not separated by spaces; else 13a."""

    def __post_init__(self) -> None:
        """Rejects a smoothing outside [0, 1) and unknown names."""
        super().__post_init__()
        if self.smoothing_over not in get_args(SmoothingOver):
            raise unknown("--task.smoothing-over", self.smoothing_over, get_args(SmoothingOver))
        if self.bleu_tokenizer not in get_args(BleuTokenizer):
            raise unknown("--task.bleu-tokenizer", self.bleu_tokenizer, get_args(BleuTokenizer))
