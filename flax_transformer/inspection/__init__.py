"""Looking inside of models and changing what is inside: activations, patches, attributions.

All are pure functions of a model, its variables and its inputs. They work under `jit`, `vmap` and
`grad`, for every model of this package, trained here or imported. `inputs` are the arguments of the
model: one array, a tuple of arrays, or a dictionary by the names of the arguments, such as
{"source": ..., "target": ..., "source_segments": ...}.
"""

from flax_transformer.inspection.activations import (
    activation_shapes,
    activations,
    patched,
    run_with,
)
from flax_transformer.inspection.attention_weights import attention_weights
from flax_transformer.inspection.changes import At
from flax_transformer.inspection.gradients import attribution_patching, gradients
from flax_transformer.inspection.head_scores import (
    attention_to,
    diagonal_score,
    duplicate_token_score,
    induction_score,
    previous_token_score,
)
from flax_transformer.inspection.logit_attribution import logit_attribution
from flax_transformer.inspection.logit_lens import logit_lens
from flax_transformer.inspection.noise_scale import NoiseScale, noise_scale
from flax_transformer.inspection.picture_attention import image_attention, video_attention
from flax_transformer.inspection.repeated_tokens import (
    RepeatedTokens,
    repeat_losses,
    repeated_tokens,
)
from flax_transformer.inspection.word_alignment import alignment_error_rate, word_attention

__all__ = [
    "At",
    "NoiseScale",
    "RepeatedTokens",
    "activation_shapes",
    "activations",
    "alignment_error_rate",
    "attention_to",
    "attention_weights",
    "attribution_patching",
    "diagonal_score",
    "duplicate_token_score",
    "gradients",
    "image_attention",
    "induction_score",
    "logit_attribution",
    "logit_lens",
    "noise_scale",
    "patched",
    "previous_token_score",
    "repeat_losses",
    "repeated_tokens",
    "run_with",
    "video_attention",
    "word_attention",
]
