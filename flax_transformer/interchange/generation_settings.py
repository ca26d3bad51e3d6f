"""generation_config.json of a published folder: how its model is meant to be searched."""

from collections.abc import Mapping
from typing import Any

from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import UserError

FILE = "generation_config.json"
# Keys that change nothing about the outputs, or are ids that the tokenizer takes.
IGNORED = frozenset(
    {
        *("_from_model_config", "transformers_version", "use_cache", "return_dict_in_generate"),
        *("output_attentions", "output_hidden_states", "output_scores", "output_logits"),
        *("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"),
        *("forced_bos_token_id", "bad_words_ids"),
        # Our search ends only when no better output can follow, whatever this says.
        "early_stopping",
        # It ends an output that is cut; ours may end without an end mark.
        "forced_eos_token_id",
        # Names of the outputs' limit, of which one is read.
        *("max_length", "max_new_tokens"),
    }
)
# Their value that switches a rule off, for rules that we do not have.
_OFF = {
    "num_beam_groups": 1,
    "diversity_penalty": 0.0,
    "encoder_repetition_penalty": 1.0,
    "encoder_no_repeat_ngram_size": 0,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "min_p": 0.0,
    "renormalize_logits": False,
    "remove_invalid_values": False,
    "penalty_alpha": 0.0,
}
NUM_EXTRA = 256  # tokens of an output beyond its source, at most, unless a smaller limit is given


def read_decoding(settings: Mapping[str, Any]) -> DecodingConfig:
    """Reads how outputs are searched for.

    Args:
        settings: contents of generation_config.json.

    Raises:
        UserError: lists the keys that have no meaning here.

    Example:
        >>> found = read_decoding({"num_beams": 4, "length_penalty": 0.8})
        >>> found.method, found.beam, found.beam_size, found.length_penalty, found.alpha
        ('beam', 'refill', 4, 'power', 0.8)
    """
    given = {name: value for name, value in settings.items() if value is not None}
    beams, samples = given.pop("num_beams", 1), given.pop("do_sample", False)
    limit = given.get("max_new_tokens", given.get("max_length", NUM_EXTRA))
    options: dict[str, Any] = {
        "num_best": given.pop("num_return_sequences", 1),
        "repetition_penalty": given.pop("repetition_penalty", 1.0),
        "no_repeat_ngram_size": given.pop("no_repeat_ngram_size", 0),
        "min_length": given.pop("min_length", 0),
        "max_extra_length": limit,
    }
    alpha = float(given.pop("length_penalty", 1.0))
    draws = {name: given.pop(name, None) for name in ("temperature", "top_k", "top_p")}
    if beams > 1 and samples:
        raise UserError("num_beams with do_sample: samples of beams are not known here")
    if beams > 1:
        options |= {"method": "beam", "beam_size": beams, "beam": "refill"}
        options |= {"length_penalty": "power", "alpha": alpha}
    elif samples:
        options |= {"method": "sample", "temperature": float(draws["temperature"] or 1.0)}
        options |= {"top_k": draws["top_k"] or None, "top_p": draws["top_p"]}
    else:
        options["method"] = "greedy"
    unknown = [
        f"{name} is {value!r:.40}"
        for name, value in sorted(given.items())
        if name not in IGNORED and value not in (_OFF.get(name), False, [], {}, "")
    ]
    if unknown:
        raise UserError("; ".join(unknown))
    return DecodingConfig(**options)
