"""How fast is beam search? Every output is forced to the same length, so that all do the same work.

    python experiments/benchmarks/decode.py --manual-dir DIR --peers --flax-examples CHECKOUT

A model of random weights decodes real sentences, batch by batch, the shortest first. No output may
end before its forced length. Beside our own search run, in turns, what one would pick instead:
CTranslate2 and Hugging Face's Marian (--peers), and the beam search of the Flax repository's
examples/wmt (--flax-examples). All have the same sizes, sentences, batches, beam and --dtype.
Loading, compiling and tokenising are not timed; reading the outputs back is. The JAX contenders pad
sources to multiples of 8 tokens. The process keeps freed memory and runs one program at a time, as
the commands do.

Where our time goes shows --parts: our search without each of its parts in turn. Shares overlap.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from circumstances import circumstances, describe, tell
from decode_search import our_search, searches_without_parts
from peers import decode_torch
from peers.decode_flax import flax_search
from peers.decode_work import DecodeWork, Search
from rich.console import Console
from timing import Spread, time_in_turns

from flax_transformer.cli import execute
from flax_transformer.console import say, show_table
from flax_transformer.data import multi30k
from flax_transformer.data.text_files import read_lines
from flax_transformer.data.tokenized import TokenizedText
from flax_transformer.data.tokenizer import EOS, MIN_VOCAB_SIZE, Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.models.config import ComputeType

OURS = "flax_transformer"
RANDOM_LENGTHS = 8, 24
SIZES = ("num_sentences", "batch", "beam_size", "output_length", "num_layers", "num_repeats")


@dataclasses.dataclass(frozen=True)
class Decode:
    """Time beam search over sentences, every output forced to one length."""

    manual_dir: Path | None = None
    """Folder with Multi30k's files, whose English test sentences of 2016 are decoded. Without it
    sentences of random words, of 8 to 24 tokens, every length as likely."""
    peers: bool = False
    """Time CTranslate2 and Hugging Face's Marian beside ours."""
    flax_examples: Path | None = None
    """Checkout of the Flax repository, whose translation example is timed beside ours."""
    parts: bool = False
    """Time our search without each of its parts, too: what it saves is the part's share."""
    num_sentences: int = 256
    """Sentences to decode."""
    batch: int = 32
    """Sentences decoded together."""
    beam_size: int = 4
    """Hypotheses kept for each sentence."""
    output_length: int = 16
    """Tokens of every output."""
    num_layers: int = 3
    """Layers of the encoder, and as many of the decoder."""
    d_model: int = 256
    """Width of the model."""
    d_ff: int = 1024
    """Width of the feed-forward networks' hidden layers."""
    num_heads: int = 8
    """Attention heads in each layer."""
    vocab_size: int = 8000
    """Tokens of the vocabulary, special ones counted."""
    dtype: ComputeType = "float32"
    """Type of every contender's computation; CTranslate2's is int8 in place of bfloat16."""
    num_repeats: int = 10
    """Times that each contender decodes all sentences."""
    json: bool = False
    """Print JSON."""

    def __post_init__(self) -> None:
        """Refuses what cannot be measured."""
        for name in SIZES:
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.vocab_size <= MIN_VOCAB_SIZE:
            raise UserError(f"vocab_size must be above {MIN_VOCAB_SIZE}, not {self.vocab_size}")
        if self.num_heads < 1 or self.d_model % self.num_heads:
            raise UserError(f"d_model {self.d_model} must divide by {self.num_heads} heads")

    def work(self) -> DecodeWork:
        """What every contender does."""
        if self.manual_dir is None:
            sources = random_sentences(self.num_sentences, self.vocab_size)
        else:
            sources = read_sentences(self.manual_dir, self.num_sentences, self.vocab_size)
        by_length = sources.select(np.argsort(sources.lengths, kind="stable"))
        names = set(DecodeWork._fields) - {"sources"}
        return DecodeWork(by_length, **{name: getattr(self, name) for name in names})

    def contenders(self, work: DecodeWork) -> dict[str, Search]:
        """Makes the searches asked for, ours first."""
        searches = {OURS: our_search(work)}
        if self.parts:
            without = searches_without_parts(work)
            searches |= {f"without {part}": search for part, search in without.items()}
        if self.flax_examples is not None:
            searches["Flax examples/wmt"] = flax_search(work, self.flax_examples)
        if self.peers:
            model = decode_torch.marian_model(work)
            searches["CTranslate2"] = decode_torch.ctranslate2_search(work, model)
            searches["Hugging Face Marian"] = decode_torch.marian_search(work, model)
        return searches

    def run(self) -> None:
        """Measures and prints."""
        work = self.work()
        searches = self.contenders(work)
        for name, search in searches.items():
            tell(f"{name} decodes once")
            check_lengths(name, search, work)
        results = compare(time_in_turns(searches, self.num_repeats, tell), work)
        if self.json:
            print(json.dumps(as_json(results, work, self), indent=2))
        else:
            show(results, work, self)

    def beside(self) -> Sequence[str]:
        """Packages beside JAX whose versions decide the figures."""
        return decode_torch.PACKAGES if self.peers else ()


class Result(NamedTuple):
    """What was measured of one contender.

    Attributes:
        name: of the contender.
        seconds: for all sentences.
        tokens_per_second: target tokens, at the quartiles of the seconds.
        ours_against: our tokens a second over its own, at the medians.
    """

    name: str
    seconds: Spread
    tokens_per_second: Spread
    ours_against: float


def random_sentences(num_sentences: int, vocab_size: int) -> TokenizedText:
    """Draws sentences of random words, every length of `RANDOM_LENGTHS` as likely."""
    rng = np.random.default_rng(0)
    shortest, longest = RANDOM_LENGTHS
    lengths = rng.integers(shortest, longest, num_sentences, endpoint=True)
    words = [rng.integers(EOS + 1, vocab_size - 1, length - 1) for length in lengths]
    return TokenizedText.of([*sentence.tolist(), EOS] for sentence in words)


def read_sentences(folder: Path, num_sentences: int, vocab_size: int) -> TokenizedText:
    """Reads test sentences, as subwords learned from the training pairs."""
    names = ("train.en", "train.de", "test_2016_flickr.en")
    try:
        paths = [multi30k.find(folder, "raw", name) for name in names]
    except UserError:
        raise UserError(
            f"no Multi30k in {folder}: --manual-dir lacks {' or '.join(names)}"
        ) from None
    english, german, test = (read_lines(path) for path in paths)
    if len(test) < num_sentences:
        raise UserError(f"num_sentences must be at most {len(test):,}, not {num_sentences:,}")
    # Marian keeps its padding in the last row of the vocabulary.
    tokenizer = Tokenizer.train([*english, *german], vocab_size - 1)
    return TokenizedText.encode(tokenizer, test[:num_sentences])


def check_lengths(name: str, search: Search, work: DecodeWork) -> None:
    """Refuses to time a contender that did less, or more, than it was asked for."""
    lengths = [len(output) for batch in search() for output in batch]
    if lengths != [work.output_length] * work.sources.lengths.size:
        raise RuntimeError(f"{name} gave {len(lengths)} outputs of {sorted(set(lengths))} tokens")


def compare(seconds: dict[str, Spread], work: DecodeWork) -> list[Result]:
    """Gives speeds, and how many times the speed of each ours is."""
    ours, num_tokens = seconds[OURS].median, work.num_tokens()
    return [
        Result(name, spread, Spread(*(num_tokens / s for s in spread[::-1])), spread.median / ours)
        for name, spread in seconds.items()
    ]


def show(results: list[Result], work: DecodeWork, options: Decode) -> None:
    """Prints the speeds as a table, below what they were measured on."""
    console = Console()
    say(console, describe(options.beside()))
    say(console, f"{work.sources.lengths.size} sources of {work.sources.lengths.mean():.1f} tokens")
    rows = {
        result.name: {
            "target tokens/s": f"{result.tokens_per_second.median:,.0f}",
            "quartiles": " to ".join(f"{result.tokens_per_second[i]:,.0f}" for i in (0, 2)),
            "ours against it": f"{result.ours_against:.2f}",
            "saved": f"{1 - result.ours_against:.1%}" if "without" in result.name else "",
        }
        for result in results
    }
    title = (
        f"beam {work.beam_size}, batch {work.batch}, {work.output_length} forced tokens, "
        f"{work.num_layers}+{work.num_layers} layers, d_model {work.d_model}, d_ff {work.d_ff}, "
        f"{work.num_heads} heads, vocabulary {work.vocab_size:,}, {work.dtype}"
    )
    show_table(console, title, rows)


def as_json(results: list[Result], work: DecodeWork, options: Decode) -> dict[str, Any]:
    """Gives all figures as plain data, with what they were measured on."""
    paths = {name: str(getattr(options, name) or "") for name in ("manual_dir", "flax_examples")}
    spreads = ("seconds", "tokens_per_second")
    return {
        "command": sys.argv,
        "environment": circumstances(options.beside()),
        "options": dataclasses.asdict(options) | paths,
        "mean_source_length": float(work.sources.lengths.mean()),
        "num_target_tokens": work.num_tokens(),
        "results": [
            result._asdict() | {name: getattr(result, name)._asdict() for name in spreads}
            for result in results
        ],
    }


def main(argv: Sequence[str]) -> None:
    """Runs a command line; a user's mistake is one line on standard error and exit code 2."""
    execute(Decode, list(argv), defaults=lambda words: Decode())


if __name__ == "__main__":
    main(sys.argv[1:])
