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
# Their key and our option, of equal meaning in every search.
SHARED = {
    "num_return_sequences": "num_best",
    "repetition_penalty": "repetition_penalty",
    "no_repeat_ngram_size": "no_repeat_ngram_size",
    "min_length": "min_length",
}
WHOLE = {
    *("num_beams", "num_return_sequences", "no_repeat_ngram_size", "min_length"),
    *("max_length", "max_new_tokens", "top_k"),
}
REAL = {"length_penalty", "repetition_penalty", "temperature", "top_p"}
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
    _check_numbers(given)
    beams, samples = given.pop("num_beams", 1), given.pop("do_sample", False)
    limit = given.get("max_new_tokens", given.get("max_length", NUM_EXTRA))
    options: dict[str, Any] = {
        ours: given.pop(theirs, getattr(DecodingConfig, ours)) for theirs, ours in SHARED.items()
    }
    options["max_extra_length"] = limit
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


def _check_numbers(given: Mapping[str, Any]) -> None:
    for names, kinds, kind in ((WHOLE, int, "a whole number"), (REAL, int | float, "a number")):
        for name in sorted(names & given.keys()):
            value = given[name]
            if isinstance(value, bool) or not isinstance(value, kinds):
                raise UserError(f"{name} is {value!r:.40}, not {kind}")


def write_decoding(decoding: DecodingConfig) -> dict[str, Any]:
    """Writes how outputs are searched for: the inverse of `read_decoding`, but for their length.

    Args:
        decoding: our search.

    Example:
        >>> search = DecodingConfig(beam="refill", length_penalty="power", max_extra_length=13)
        >>> read_decoding(write_decoding(search) | {"max_new_tokens": 13}) == search
        True
    """
    shared = {theirs: getattr(decoding, ours) for theirs, ours in SHARED.items()}
    settings = {key: value for key, value in shared.items() if value != _default(key)}
    settings["do_sample"] = decoding.method == "sample"
    if decoding.method == "beam":
        settings |= {"num_beams": decoding.beam_size, "length_penalty": decoding.alpha}
        settings["early_stopping"] = "never"
    if decoding.method == "sample":
        # Without these keys, theirs are not those of a search without limits.
        settings |= {"temperature": decoding.temperature, "top_k": decoding.top_k or 0}
        settings["top_p"] = 1.0 if decoding.top_p is None else decoding.top_p
    return settings


def differences(decoding: DecodingConfig) -> list[str]:
    """Says what transformers searches for in another way.

    Example:
        >>> differences(DecodingConfig("greedy", stop=("end",)))
        ['--decoding.stop end is not written: give stop_strings to generate']
    """
    found = []
    if decoding.method == "beam" and decoding.length_penalty != "power":
        found.append(
            f"--decoding.length-penalty {decoding.length_penalty} is not known there: scores are "
            f"divided by length^{decoding.alpha:g}"
        )
    if decoding.method == "beam" and decoding.beam != "refill":
        found.append(
            f"--decoding.beam {decoding.beam} is not known there: the search is that of refill"
        )
    if decoding.stop:
        stop = " ".join(decoding.stop)
        found.append(f"--decoding.stop {stop} is not written: give stop_strings to generate")
    return found


def _default(key: str) -> Any:
    return getattr(DecodingConfig, SHARED[key])
