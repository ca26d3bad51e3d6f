"""What the tests of the commands share."""

import re

IMPORTS = """
from flax_transformer.data.parallel_text_config import ParallelTextConfig
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.experiment import Experiment
from flax_transformer.models import EncoderDecoderConfig
from flax_transformer.tasks.translation.translation_config import TranslationConfig
from flax_transformer.training.lora_config import LoraConfig
from flax_transformer.training.training_config import TrainingConfig
from flax_transformer.training.optimizer.optimizer_config import OptimizerConfig
"""


def assert_is_error(result, message):
    assert result.code == 2
    assert result.out == ""
    assert re.fullmatch(f"error: .*{message}.*\n", result.err), result.err
