"""What `export --format ctranslate2` writes computes the same there."""

import contextlib
import dataclasses
import functools
import io
import json
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from published_experiments import MARKS, lines, write_run

import flax_transformer as ft
from flax_transformer.cli import main
from flax_transformer.errors import UserError
from flax_transformer.interchange import export_ctranslate2
from flax_transformer.interchange.ctranslate2 import exported_ctranslate2
from flax_transformer.interchange.ctranslate2.ctranslate2_agreement import Engine
from flax_transformer.interchange.ctranslate2.ctranslate2_layers import make_spec
from flax_transformer.interchange.ctranslate2.ctranslate2_options import FREE, HELD, check_options
from flax_transformer.interchange.ctranslate2.exported_ctranslate2 import vocabulary
from flax_transformer.models import DecoderOnlyConfig, EncoderDecoderConfig
from flax_transformer.models.stacking import looped

ctranslate2: Any = pytest.importorskip("ctranslate2", reason="needs the extra ctranslate2")
pytestmark = pytest.mark.usefixtures("quickly_compiled", "unchecked_types")
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "exporting.md"
FORMAT = ["--format", "ctranslate2"]
VOCAB, LENGTHS = 23, (7, 5, 2)
NAMES = [f"token {number}" for number in range(VOCAB)]
BEGIN, END = 1, 2
SIZES: dict[str, Any] = {"d_model": 16, "d_ff": 10, "num_heads": 4, "max_positions": 19}
# Together, all have every option and value that is held, in few models.
BOTH: list[dict[str, Any]] = [
    {"positions": "learned", "position_offset": 2, "embedding_norm": True, "attention_bias": True},
    {"norm": "rms", "norm_placement": "both", "activation": "swiglu", "positions": "rotary"},
    {
        "norm": "rms_plus_one",
        "norm_placement": "pre",
        "activation": "geglu_tanh",
        "num_key_value_heads": 2,
        "positions": "sinusoidal_halves",
        "embedding_scaling": "logits",
        "tied_logits": False,
        "logits_bias": True,
    },
    {
        "norm_bias": False,
        "norm_placement": "pre",
        "feed_forward_bias": False,
        "activation": "geglu",
        "num_key_value_heads": 1,
        "positions": "rotary",
        "rotary_layout": "halves",
        "rotary_base": 500.0,
        "rotary_scaling": "linear",
        "rotary_factor": 3.0,
        "logits_soft_cap": 3.0,
        "key_dim": 6,
        "value_dim": 6,
    },
    {
        "positions": "none",
        "activation": "gelu",
        "attention_scale": 1.0,
        "scan_layers": True,
        "attention_bias": True,
        "attention_output_bias": False,
        "embedding_scaling": "none",
    },
]
TRANSLATORS = [
    *BOTH,
    {
        "positions": "t5",
        "share_position_table": True,
        "t5_num_buckets": 8,
        "t5_max_distance": 6,
        "activation": "gelu_tanh",
    },
]
LANGUAGE_MODELS = [
    *BOTH[2:4],
    {"positions": "alibi", "activation": "silu"},
    {"positions": "number"},
    {"normalize_query_key": True, "query_key_norm_epsilon": 1e-5, "positions": "sinusoidal_blocks"},
]


def made(config: Any, folder: Path) -> Any:
    """Writes a random model there; returns a function of its arguments."""
    model = config.build(vocab_size=VOCAB)
    one = np.zeros((1, 1), np.int32)
    arguments = (one,) if isinstance(config, DecoderOnlyConfig) else (one, one)
    check_options(config)
    shapes = jax.eval_shape(model.init, jax.random.key(0), *arguments)
    draw = np.random.default_rng(3)
    variables = jax.tree.map(
        lambda leaf: draw.normal(scale=0.4, size=leaf.shape).astype(leaf.dtype), shapes
    )
    plain, arrays = looped(model, variables)
    spec = make_spec(ctranslate2, plain.config, arrays, 19)
    spec.config.unk_token, spec.config.bos_token, spec.config.eos_token = NAMES[:3]
    if len(arguments) == 1:
        spec.register_vocabulary(NAMES)
    else:
        spec.config.decoder_start_token = NAMES[BEGIN]
        spec.register_source_vocabulary(NAMES)
        spec.register_target_vocabulary(NAMES)
    spec.validate()
    spec.optimize(quantization="float32")
    spec.save(str(folder))
    apply = jax.jit(model.apply)
    return lambda *inputs, **segments: np.asarray(apply(variables, *inputs, **segments))


def named(rows: Any, lengths: Any) -> list[list[str]]:
    return [[NAMES[i] for i in row[:length]] for row, length in zip(rows, lengths, strict=True)]


def assert_near(theirs: np.ndarray, ours: np.ndarray) -> None:
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5 * np.abs(ours).max())


@pytest.mark.parametrize("options", TRANSLATORS, ids=lambda options: options.get("positions"))
def test_a_translator_gives_the_same_probabilities(options, tmp_path):
    sizes = {"num_encoder_layers": 1, "num_decoder_layers": 1}
    model = made(EncoderDecoderConfig(**SIZES | sizes | options), tmp_path)
    draw = np.random.default_rng(1)
    source, target = (draw.integers(VOCAB, size=(3, length)) for length in (7, 5))
    translator = ctranslate2.Translator(str(tmp_path))
    scored = translator.score_batch(named(source, LENGTHS), named(target, [5] * 3))
    read = np.pad(target, ((0, 0), (1, 0)), constant_values=BEGIN)
    segments = np.arange(7) < np.array(LENGTHS)[:, None]
    logits = model(source, read, source_segments=segments.astype(np.int32))
    written = np.pad(target, ((0, 0), (0, 1)), constant_values=END)
    ours = np.take_along_axis(np.asarray(jax.nn.log_softmax(logits)), written[..., None], -1)
    assert_near(np.array([result.log_probs for result in scored]), ours[..., 0])


@pytest.mark.parametrize("options", LANGUAGE_MODELS, ids=lambda options: options.get("positions"))
def test_a_language_model_gives_the_same_logits(options, tmp_path):
    model = made(DecoderOnlyConfig(**SIZES | {"num_layers": 1} | options), tmp_path)
    tokens = np.random.default_rng(1).integers(VOCAB, size=(3, 7))
    generator = ctranslate2.Generator(str(tmp_path))
    theirs = np.array(generator.forward_batch(named(tokens, LENGTHS)))
    is_token = np.arange(7) < np.array(LENGTHS)[:, None]
    assert_near(theirs[is_token], model(tokens)[is_token])


def test_every_option_is_listed_or_has_its_default():
    assert not FREE & HELD.keys()
    known = {
        field.name
        for config in (EncoderDecoderConfig, DecoderOnlyConfig)
        for field in dataclasses.fields(config)
    }
    assert known == FREE | HELD.keys()


@pytest.mark.parametrize(
    ("kind", "options", "named"),
    [
        (DecoderOnlyConfig, {"norm": "batch"}, "norm batch"),
        (DecoderOnlyConfig, {"attention_window": 3}, "attention-window 3"),
        (DecoderOnlyConfig, {"key_dim": 5}, "key-dim 5"),
        (DecoderOnlyConfig, {"positions": "t5"}, "positions t5"),
        (DecoderOnlyConfig, {"positions": "alibi", "num_heads": 3, "d_model": 12}, "num-heads 3"),
        (DecoderOnlyConfig, {"positions": "rotary", "rotary_base": (5.0, 7.0)}, "rotary-base (5.0"),
        (DecoderOnlyConfig, {"normalize_query_key": True}, "query-key-norm-epsilon 1e-06"),
        (
            EncoderDecoderConfig,
            {"normalize_query_key": True, "norm_epsilon": 1e-6},
            "normalize-que",
        ),
        (EncoderDecoderConfig, {"positions": "alibi"}, "positions alibi"),
        (EncoderDecoderConfig, {"positions": "t5"}, "share-position-table False"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_held_is_named(kind, options, named):
    with pytest.raises(UserError) as error:
        check_options(kind(**SIZES | options))
    message = str(error.value)
    assert message.startswith(f"--format ctranslate2 cannot hold --model.{named}")
    assert message.endswith(": give --format onnx or --format stablehlo")


@pytest.fixture(scope="module")
def workdirs(tmp_path_factory) -> dict[str, Path]:
    """Workdirs with random weights, whose validation splits are not there."""
    folder = tmp_path_factory.mktemp("workdirs")
    found = {}
    for name in ("number_words", "shakespeare"):
        path = write_run(folder / name, name)
        settings = json.loads((path / "experiment.json").read_text())
        settings["data"]["validation_split"] = "nothing"
        (path / "experiment.json").write_text(json.dumps(settings))
        found[name] = path
    return found


@pytest.fixture(scope="module")
def export(workdirs, tmp_path_factory) -> Callable[[str], tuple[Path, str]]:
    """Exports a workdir once."""

    @functools.cache
    def export(name: str) -> tuple[Path, str]:
        out = tmp_path_factory.mktemp(name) / "exported"
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            main(["export", "--workdir", str(workdirs[name]), "--out", str(out), *FORMAT])
        return out, " ".join(said.getvalue().split())

    return export


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("number_words", "Translator", "shared_vocabulary.json"),
        ("shakespeare", "Generator", "vocabulary.json"),
    ],
)
def test_both_write_the_same(name, kind, words, export):
    out, said = export(name)
    assert f"holds a model in float32 for ctranslate2.{kind}, written by CTranslate2" in said
    assert "compared with the model on 32 sequences of random tokens, as the validation" in said
    assert "greedy search: 32 of 32 outputs equal" in said
    assert re.search(r"beam of 4: \d+ of 32 outputs equal", said)
    both = {"model.bin", "config.json", "search.json", "tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in out.iterdir()} == both | {words}


def test_matrices_of_8_bits_are_smaller_and_may_differ(workdirs, export, tmp_path):
    exported = export_ctranslate2(workdirs["shakespeare"], tmp_path / "out", dtype="int8")
    assert exported.agreement.number == 32
    whole, _ = export("shakespeare")
    sizes = [(folder / "model.bin").stat().st_size for folder in (tmp_path / "out", whole)]
    assert sizes[0] < sizes[1]


def test_outputs_that_differ_are_refused(workdirs, tmp_path, monkeypatch):
    search = Engine.search
    monkeypatch.setattr(
        Engine, "search", lambda *args, **kw: [[5, *x] for x in search(*args, **kw)]
    )
    with pytest.raises(
        UserError, match=r"^--format ctranslate2 computes something else: only 0 of 32"
    ):
        export_ctranslate2(workdirs["shakespeare"], tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_another_kind_of_model_is_refused(tmp_path, monkeypatch):
    task = types.SimpleNamespace(takes=("images", "class"), command="classify")
    run = types.SimpleNamespace(task=task)
    monkeypatch.setattr(exported_ctranslate2, "open_run", lambda *_, **__: run)
    with pytest.raises(UserError, match=r"and language models, but runs/a holds a model to classi"):
        export_ctranslate2("runs/a", tmp_path / "out")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--family", "bart"], "--family bart is for --format transformers: leave it out"),
        (["--adapter"], "--adapter is for --format transformers: leave it out"),
        (
            ["--dtype", "bfloat16"],
            "--dtype bfloat16 is not for --format ctranslate2: give float32 or",
        ),
        (["--num-texts", "0"], "--num-texts must be at least 1, not 0"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_an_option_of_another_format_is_refused(option, message, workdirs, tmp_path, capsys):
    line = ["export", "--workdir", str(workdirs["number_words"]), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit):
        main([*line, *FORMAT, *option])
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(UserError, match=r"run pip install 'flax_transformer\[ctranslate2\]'$"):
        exported_ctranslate2.import_ctranslate2()


def test_rows_without_a_token_get_names_of_their_own():
    class Rows:
        vocab_size = 5

        def ids(self):
            return {"<3>": 0, "a": 1, "b": 2}

    assert vocabulary(Rows(), {}) == ["<3>", "a", "b", "<<3>>", "<4>"]


def test_the_guide_translates_without_this_package(workdirs, export):
    out, _ = export("number_words")
    section = GUIDE.read_text("utf-8").partition("\n## CTranslate2\n")[2]
    (block,) = re.findall(r"<!-- tested -->\n```python\n(.*?)```", section, re.S)
    translator = ft.load(workdirs["number_words"])
    lengths = {text: len(translator.tokenizer.encode(text)) for text in lines()[len(MARKS) :]}
    sources = [text for text, length in lengths.items() if length == 11][:7]
    # The same limit of all outputs here and there.
    more = f"""
search |= {{"beam_size": 1, "max_decoding_length": 13}}
print(json.dumps(translate({sources!r})))
"""
    names = ["flax", "flax_transformer", "jax"]
    blocked = f"import sys\nfor name in {names}:\n    sys.modules[name] = None\n"
    command = [sys.executable, "-c", blocked + block + more]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=out.parent)
    assert done.returncode == 0, done.stderr
    greedy = dataclasses.replace(
        translator.decoding, method="greedy", num_best=1, max_extra_length=1
    )
    assert json.loads(done.stdout.splitlines()[-1]) == translator.translate(sources, greedy)
