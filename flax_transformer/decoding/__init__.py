"""Greedy search, beam search and sampling over a step function, independent of any model."""

from flax_transformer.decoding.beam import beam_search
from flax_transformer.decoding.generation import greedy_search
from flax_transformer.decoding.hypotheses import Hypotheses, SearchLimits, Step
from flax_transformer.decoding.length_penalty import (
    LENGTH_PENALTIES,
    gnmt_length_penalty,
    power_length_penalty,
)
from flax_transformer.decoding.processors import (
    History,
    LogitsProcessor,
    forbid_early_end,
    forbid_repeated_ngrams,
    make_processor,
    penalize_repetition,
)
from flax_transformer.decoding.sampling import filter_top_k, filter_top_p, sample
from flax_transformer.decoding.search import DecodingConfig, cut_at_stop, search
from flax_transformer.decoding.search_tree import SearchTree, beam_search_tree

__all__ = [
    "LENGTH_PENALTIES",
    "DecodingConfig",
    "History",
    "Hypotheses",
    "LogitsProcessor",
    "SearchLimits",
    "SearchTree",
    "Step",
    "beam_search",
    "beam_search_tree",
    "cut_at_stop",
    "filter_top_k",
    "filter_top_p",
    "forbid_early_end",
    "forbid_repeated_ngrams",
    "gnmt_length_penalty",
    "greedy_search",
    "make_processor",
    "penalize_repetition",
    "power_length_penalty",
    "sample",
    "search",
]
