"""Times beam search; all outputs have the same forced length, so all contenders do the same work.

    python experiments/benchmarks/decode.py --manual-dir DIR --peers --flax-examples CHECKOUT

A model with random weights decodes real sentences, batch by batch, the shortest first. No output
may end before its forced length. Our search is compared with alternatives: CTranslate2 and Hugging
Face's Marian (--peers), and the beam search of the Flax repository's examples/wmt
(--flax-examples). All have the same sizes, sentences, batches, beam and --dtype. The times include
reading the outputs back, but not loading, compiling and tokenizing. The JAX contenders pad sources
to multiples of 8 tokens.

Contenders take turns, and every turn is a new process. Ours keeps freed memory and runs one program
at a time, like our commands. The others run with their own defaults of memory and threads, and
again with ours ("our settings").

--shares shows where our time goes: it also times our search without each of its parts in turn. The
shares of the parts overlap.
"""

import contextlib
import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from circumstances import circumstances, describe, tell
from contenders import OURS, check_flax_examples
from decode_search import PARTS
from peers.decode_work import DecodeWork
from rich.console import Console
from timing import Spread
from turns import HOW, Contender, Taken, in_both_settings, take_one_turn, take_turns

from flax_transformer.cli import execute
from flax_transformer.console import say, show_table
from flax_transformer.data.datasets import published
from flax_transformer.data.files.text_files import read_lines
from flax_transformer.data.tokens.tokenizer import EOS, MIN_VOCAB_SIZE, Tokenizer
from flax_transformer.errors import UserError, check_options
from flax_transformer.modules.layer_options import ComputeType

PACKAGES = "torch", "transformers", "ctranslate2"
RANDOM_LENGTHS = 8, 24
SIZES = ("num_sentences", "batch", "beam_size", "output_length", "num_layers")
REPEATS = ("num_turns", "num_repeats")


@dataclasses.dataclass(frozen=True)
class Decode:
    """Time beam search over sentences with outputs of one forced length."""

    manual_dir: Path | None = None
    """Folder with Multi30k's files; decodes its English test sentences of 2016. Without it,
    sentences are of random words with 8 to 24 tokens, all lengths equally likely."""
    peers: bool = False
    """Also time CTranslate2 and Hugging Face's Marian."""
    flax_examples: Path | None = None
    """Checkout of the Flax repository; also times its translation example."""
    shares: bool = False
    """Also time our search without each of its parts; the saved time is the part's share."""
    num_sentences: int = 256
    """Number of sentences to decode."""
    batch: int = 32
    """Sentences decoded together."""
    beam_size: int = 4
    """Hypotheses kept for each sentence; with 1, ours is greedy search."""
    output_length: int = 16
    """Tokens of every output."""
    num_layers: int = 3
    """Layers of the encoder, and of the decoder."""
    d_model: int = 256
    """Width of the model."""
    d_ff: int = 1024
    """Width of the feed-forward networks' hidden layers."""
    num_heads: int = 8
    """Attention heads in each layer."""
    vocab_size: int = 8000
    """Tokens of the vocabulary, including special ones."""
    dtype: ComputeType = "float32"
    """Type of every contender's computation; CTranslate2 uses int8 instead of bfloat16."""
    num_turns: int = 3
    """Turns of each contender, each in a new process."""
    num_repeats: int = 5
    """Timed runs of a turn, each over all sentences."""
    json: bool = False
    """Print JSON."""

    def __post_init__(self) -> None:
        """Rejects options that cannot be measured."""
        check_options(self, *SIZES, *REPEATS, "num_heads")
        check_options(self, "vocab_size", lowest=MIN_VOCAB_SIZE + 1)
        if self.d_model % self.num_heads:
            raise UserError(
                f"--d-model {self.d_model} is not a multiple of --num-heads {self.num_heads}: "
                "change one of them"
            )
        if self.shares and self.beam_size == 1:
            raise UserError("--shares needs a beam to rank: give --beam-size 2 or more")

    def work(self) -> DecodeWork:
        """The work of every contender."""
        if self.manual_dir is None:
            sources = random_sentences(self.num_sentences, self.vocab_size)
        else:
            sources = read_sentences(self.manual_dir, self.num_sentences, self.vocab_size)
        names = set(DecodeWork._fields) - {"sentences", "eos"}
        sizes = {name: getattr(self, name) for name in names}
        return DecodeWork(sorted(sources, key=len), EOS, **sizes)

    @contextlib.contextmanager
    def contenders(self, work: DecodeWork) -> Iterator[dict[str, Contender]]:
        """Yields the requested searches, ours first, while their files exist."""
        job = {"work": work._asdict()}
        contenders = {OURS: Contender("decode_search", job)}
        if self.shares:
            contenders |= {
                f"without {part}": Contender("decode_search", job | {"without": part})
                for part in PARTS
            }
        others = {}
        if self.flax_examples is not None:
            directory = check_flax_examples(self.flax_examples)
            flax = Contender("peers.decode_flax", job | {"directory": directory})
            others["Flax examples/wmt"] = flax
        with tempfile.TemporaryDirectory() as folder:
            if self.peers:
                others |= peers(job, folder)
            yield {**contenders, **in_both_settings(others)}

    def run(self) -> None:
        """Measures and prints."""
        work = self.work()
        with self.contenders(work) as contenders:
            taken = take_turns(contenders, self.num_turns, self.num_repeats, tell)
        for name in taken:
            check_lengths(name, taken[name].facts["lengths"], work)
        results = compare(taken, work)
        if self.json:
            print(json.dumps(as_json(results, work, self), indent=2))
        else:
            show(results, work, self)

    def beside(self) -> Sequence[str]:
        """Packages besides JAX whose versions affect the measurements."""
        return PACKAGES if self.peers else ()


class Result(NamedTuple):
    """Measurements of one contender.

    Attributes:
        name: of the contender.
        seconds: for all sentences.
        tokens_per_second: target tokens per second, at the quartiles of the seconds.
        ours_against: our tokens per second over its own, at the medians.
        peak_bytes: see `turns.Taken`.
    """

    name: str
    seconds: Spread
    tokens_per_second: Spread
    ours_against: float
    peak_bytes: int


def peers(job: Mapping[str, Any], folder: str) -> dict[str, Contender]:
    """Returns the searches of Marian and CTranslate2; converts CTranslate2's model into a folder.

    Raises:
        UserError: if a package is missing.
    """
    for name in PACKAGES:
        if find_spec(name) is None:
            raise UserError(f"no {name}: pip install {' '.join(PACKAGES)}")
    converted = {**job, "folder": folder}
    tell("converting the model for CTranslate2")
    take_one_turn(Contender("peers.convert_marian", converted), num_repeats=1, num_warmups=0)
    return {
        "CTranslate2": Contender("peers.decode_ctranslate2", converted),
        "Hugging Face Marian": Contender("peers.decode_marian", job),
    }


def random_sentences(num_sentences: int, vocab_size: int) -> list[list[int]]:
    """Makes sentences of random words; all `RANDOM_LENGTHS` are equally likely."""
    rng = np.random.default_rng(0)
    shortest, longest = RANDOM_LENGTHS
    lengths = rng.integers(shortest, longest, num_sentences, endpoint=True)
    words = [rng.integers(EOS + 1, vocab_size - 1, length - 1) for length in lengths]
    return [[*sentence.tolist(), EOS] for sentence in words]


def read_sentences(folder: Path, num_sentences: int, vocab_size: int) -> list[list[int]]:
    """Reads test sentences as subwords; the tokenizer is learned from the training pairs."""
    names = ("train.en", "train.de", "test_2016_flickr.en")
    try:
        paths = [published.find(folder, name, ("tok", "raw"), "Multi30k") for name in names]
    except UserError:
        raise UserError(
            f"no Multi30k in {folder}: --manual-dir lacks {' or '.join(names)}"
        ) from None
    english, german, test = (list(read_lines(path)) for path in paths)
    if len(test) < num_sentences:
        raise UserError(f"--num-sentences must be at most {len(test):,}, not {num_sentences:,}")
    # Marian keeps its padding in the last row of the vocabulary.
    tokenizer = Tokenizer.train([*english, *german], vocab_size - 1)
    return [[*ids, EOS] for ids in tokenizer.encode_batch(test[:num_sentences])]


def check_lengths(name: str, lengths: list[int], work: DecodeWork) -> None:
    """Rejects the measurements of a contender that did less or more than the given work."""
    if lengths != [work.output_length] * len(work.sentences):
        raise RuntimeError(f"{name} gave {len(lengths)} outputs of {sorted(set(lengths))} tokens")


def compare(taken: Mapping[str, Taken], work: DecodeWork) -> list[Result]:
    """Computes all speeds, and our speed relative to each."""
    ours, num_tokens = taken[OURS].spread().median, work.num_tokens()
    results = []
    for name in taken:
        seconds = taken[name].spread()
        speeds = Spread(*(num_tokens / second for second in seconds[::-1]))
        against = seconds.median / ours
        results.append(Result(name, seconds, speeds, against, taken[name].peak_bytes))
    return results


def show(results: list[Result], work: DecodeWork, options: Decode) -> None:
    """Prints the speeds as a table, below a description of the machine."""
    console = Console()
    say(console, describe(options.beside()))
    mean_length = mean_source_length(work)
    say(console, f"{len(work.sentences)} sources of {mean_length:.1f} tokens on average")
    rows = {
        result.name: {
            "target tokens/s": f"{result.tokens_per_second.median:,.0f}",
            "quartiles": " to ".join(f"{result.tokens_per_second[i]:,.0f}" for i in (0, 2)),
            "ours against it": f"{result.ours_against:.2f}",
            "peak MiB": f"{result.peak_bytes / 2**20:,.0f}",
        }
        | ({"saved": f"{1 - result.ours_against:.1%}"} if options.shares else {})
        for result in results
    }
    title = (
        f"beam {work.beam_size}, batch {work.batch}, {work.output_length} forced tokens, "
        f"{work.num_layers}+{work.num_layers} layers, d_model {work.d_model}, d_ff {work.d_ff}, "
        f"{work.num_heads} heads, vocabulary {work.vocab_size:,}, {work.dtype}"
    )
    show_table(console, title, rows)
    say(console, HOW)


def mean_source_length(work: DecodeWork) -> float:
    """Tokens of a source, including the end mark."""
    return sum(map(len, work.sentences)) / len(work.sentences)


def as_json(results: list[Result], work: DecodeWork, options: Decode) -> dict[str, Any]:
    """Returns all measurements as plain data, with a description of the machine."""
    paths = {name: str(getattr(options, name) or "") for name in ("manual_dir", "flax_examples")}
    spreads = ("seconds", "tokens_per_second")
    return {
        "command": sys.argv,
        "how": HOW,
        "environment": circumstances(options.beside()),
        "options": dataclasses.asdict(options) | paths,
        "mean_source_length": mean_source_length(work),
        "num_target_tokens": work.num_tokens(),
        "results": [
            result._asdict() | {name: getattr(result, name)._asdict() for name in spreads}
            for result in results
        ],
    }


if __name__ == "__main__":
    execute(Decode, sys.argv[1:])
