"""Greedy search, beam search and sampling over a step function; no model is known here."""

from flax_transformer.decoding.beam import beam_search
from flax_transformer.decoding.greedy import greedy_search
from flax_transformer.decoding.hypotheses import Hypotheses, Step
from flax_transformer.decoding.length_penalty import (
    LENGTH_PENALTIES,
    gnmt_length_penalty,
    power_length_penalty,
)
from flax_transformer.decoding.sampling import filter_top_k, filter_top_p, sample
from flax_transformer.decoding.search import DecodingConfig, search
from flax_transformer.decoding.search_tree import SearchTree, beam_search_tree

__all__ = [
    "LENGTH_PENALTIES",
    "DecodingConfig",
    "Hypotheses",
    "SearchTree",
    "Step",
    "beam_search",
    "beam_search_tree",
    "filter_top_k",
    "filter_top_p",
    "gnmt_length_penalty",
    "greedy_search",
    "power_length_penalty",
    "sample",
    "search",
]
