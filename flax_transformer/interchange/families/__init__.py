"""The families of published models, one in each file."""

from flax_transformer.interchange.families.bart import BART
from flax_transformer.interchange.families.bert import BERT
from flax_transformer.interchange.families.distilbert import DISTILBERT
from flax_transformer.interchange.families.gemma import GEMMA
from flax_transformer.interchange.families.gemma2 import GEMMA2
from flax_transformer.interchange.families.gpt2 import GPT2
from flax_transformer.interchange.families.llama import LLAMA
from flax_transformer.interchange.families.m2m_100 import M2M_100
from flax_transformer.interchange.families.marian import MARIAN
from flax_transformer.interchange.families.mbart import MBART
from flax_transformer.interchange.families.mistral import MISTRAL
from flax_transformer.interchange.families.mixtral import MIXTRAL
from flax_transformer.interchange.families.modernbert import MODERNBERT
from flax_transformer.interchange.families.pegasus import PEGASUS
from flax_transformer.interchange.families.qwen2 import QWEN2
from flax_transformer.interchange.families.qwen3 import QWEN3
from flax_transformer.interchange.families.roberta import ROBERTA
from flax_transformer.interchange.families.smollm3 import SMOLLM3
from flax_transformer.interchange.families.t5 import T5
from flax_transformer.interchange.families.vit import VIT
from flax_transformer.interchange.family import Family

# model_type of a published config -> its family. An export takes the first one that fits.
FAMILIES: dict[str, Family] = {
    "gpt2": GPT2,
    "llama": LLAMA,
    "bert": BERT,
    "vit": VIT,
    "pegasus": PEGASUS,
    "marian": MARIAN,
    "mistral": MISTRAL,
    "qwen2": QWEN2,
    "qwen3": QWEN3,
    "gemma": GEMMA,
    "gemma2": GEMMA2,
    "smollm3": SMOLLM3,
    "mixtral": MIXTRAL,
    "roberta": ROBERTA,
    "distilbert": DISTILBERT,
    "modernbert": MODERNBERT,
    "t5": T5,
    "bart": BART,
    "mbart": MBART,
    "m2m_100": M2M_100,
}
