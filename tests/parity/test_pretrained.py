"""Published folders in use: the same outputs as transformers, by its own `generate`."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from worded_models import NUM_IDS, SPECIAL, WORDS, published, torch, transformers

import flax_transformer as ft
from flax_transformer.cli import main
from flax_transformer.errors import UserError

pytestmark = pytest.mark.usefixtures("quickly_compiled")

# Of one length, as our limit counts from the length of the source; and one program is enough.
TEXTS = ["w3 w1 w4 w1", "w5 w9 w2 w6", "w5 w3 w5 w8", "w9 w7 w9 w3"]
LIMIT = 13  # tokens of an output
GREEDY = {"max_new_tokens": LIMIT}
# Ids that outputs begin with, such as that of a language.
FORCED = {"bart": 1, "mbart": 4, "m2m_100": 4}
BEAM = {**GREEDY, "num_beams": 4, "length_penalty": 0.7, "early_stopping": "never"}
SEARCHED = [("marian", BEAM), ("t5", BEAM)]


def generated(model: Any, folder: Path, texts: list[str]) -> list[list[int]]:
    """Ids that transformers writes, without prompt, begin and padding."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    outputs = []
    for text in texts:
        inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
        (ids,) = model.generate(**inputs).tolist()
        start = 1 if model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
        ids = ids[start:]
        outputs.append(ids[: ids.index(2)] if 2 in ids else ids)
    return outputs


def written(texts: list[str]) -> list[list[int]]:
    vocab = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}
    return [[vocab[word] for word in text.split()] for text in texts]


def without_marks(rows: list[list[int]], num_ids: int) -> list[list[int]]:
    return [[i for i in row if len(SPECIAL) <= i < num_ids] for row in rows]


@pytest.mark.parametrize(
    ("case", "search"),
    [*((case, GREEDY) for case in ("pegasus", "bart", "mbart", "m2m_100")), *SEARCHED],
    ids=["pegasus", "bart", "mbart", "m2m_100", "marian", "t5"],
)
def test_a_translator_writes_what_transformers_writes(case, search, tmp_path):
    begin = 2 if case in FORCED else 0
    options = {**search, "decoder_start_token_id": begin}
    if case in FORCED:
        options["forced_bos_token_id"] = FORCED[case]
    if case in ("marian", "m2m_100"):  # M2M100 gives padding that it writes no position
        options["bad_words_ids"] = [[0]]
    template = "<s> $A </s>" if case in FORCED else "$A </s>"
    model = published(tmp_path / "in", case, template, **options)
    translator: Any = ft.from_pretrained(tmp_path / "in")
    assert translator.decoding.method == ("beam" if "num_beams" in search else "greedy")
    expected = generated(model, tmp_path / "in", TEXTS)
    num_read = len(translator.tokenizer.encode(TEXTS[0], marked=True))
    decoding = dataclasses.replace(translator.decoding, max_extra_length=LIMIT - num_read)
    found = translator.translate(TEXTS, decoding)
    assert written(found) == without_marks(expected, NUM_IDS)


@pytest.mark.parametrize("case", ["gpt2", "llama", "smollm3"])
def test_a_generator_writes_what_transformers_writes(case, tmp_path):
    template = "$A" if case == "gpt2" else "<s> $A"
    model = published(tmp_path / "in", case, template, max_new_tokens=9)
    generator: Any = ft.from_pretrained(tmp_path / "in")
    found = [text for (text,) in generator.generate(TEXTS, length=9)]
    expected = generated(model, tmp_path / "in", TEXTS)
    assert written(found) == without_marks(expected, NUM_IDS)


@pytest.mark.parametrize("search", [GREEDY, BEAM])
def test_each_of_three_ends_ends_what_transformers_ends(search, tmp_path):
    model = published(tmp_path / "in", "llama", "<s> $A", **search)
    free = [ids[:LIMIT] for ids in generated(model, tmp_path / "in", TEXTS)]
    # Two words that would be written, and the end mark of the tokenizer.
    ends = [2, *{free[0][3], free[1][1], free[2][2]} - {2}][:3]
    model.generation_config.eos_token_id = ends
    model.generation_config.save_pretrained(tmp_path / "in")
    generator: Any = ft.from_pretrained(tmp_path / "in")
    found = [text for (text,) in generator.generate(TEXTS, length=LIMIT)]
    expected = []
    for ids in generated(model, tmp_path / "in", TEXTS):
        places = [place for place, token in enumerate(ids) if token in ends] or [len(ids)]
        expected.append(ids[: places[0]])
    assert written(found) == without_marks(expected, NUM_IDS)
    assert any(len(row) < len(whole) for row, whole in zip(expected, free, strict=True))


@pytest.mark.parametrize("case", ["bert tokens", "modernbert"])
def test_a_masked_model_fills_what_transformers_fills(case, tmp_path):
    model = published(tmp_path / "in", case, "<s> $A </s>")
    filler: Any = ft.from_pretrained(tmp_path / "in")
    (found,) = filler.fill(["w3 [MASK] w4"], top=3)
    ids = torch.tensor([[1, 8, 4, 9, 2]])
    with torch.no_grad():
        logits = model(ids).logits[0, 2, len(SPECIAL) : NUM_IDS]
    best = torch.topk(logits, 3).indices.tolist()
    assert list(found.gaps[0]) == [WORDS[i] for i in best]


def test_a_classifier_has_the_names_and_probabilities_of_the_folder(tmp_path):
    model = published(tmp_path / "in", "bert classes", "<s> $A </s>")
    settings = json.loads((tmp_path / "in" / "config.json").read_text())
    names = ["bad", "poor", "fair", "good", "fine"]
    settings["id2label"] = {str(number): name for number, name in enumerate(names)}
    (tmp_path / "in" / "config.json").write_text(json.dumps(settings))
    classifier: Any = ft.from_pretrained(tmp_path / "in")
    (found,) = classifier.classify("w3 w1")
    with torch.no_grad():
        expected = model(torch.tensor([[1, 8, 6, 2]])).logits.softmax(-1)[0].tolist()
    assert set(found.probabilities) == set(names)
    np.testing.assert_allclose(
        [found.probabilities[name] for name in names], expected, rtol=1e-5, atol=1e-6
    )


def test_an_imported_workdir_is_used_like_a_trained_one(tmp_path, capsys, unchecked_types):
    model = published(tmp_path / "in", "gpt2", "$A", max_new_tokens=9)
    workdir = tmp_path / "run"
    main(["import", str(tmp_path / "in"), "--workdir", str(workdir)])
    said = capsys.readouterr().out
    assert "gpt2: " in said
    assert "tokenizer.json" in said
    main(["generate", "--workdir", str(workdir), TEXTS[0], "--length", "9"])
    text = capsys.readouterr().out.strip()
    expected = generated(model, tmp_path / "in", TEXTS[:1])
    assert written([text.removeprefix(TEXTS[0])]) == without_marks(expected, NUM_IDS)
    loaded: Any = ft.load(workdir)
    direct: Any = ft.from_pretrained(tmp_path / "in", dtype="float32")
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, direct.variables)


def test_what_a_folder_asks_for_and_we_do_not_have_is_one_line(tmp_path):
    published(tmp_path / "in", "gpt2", "$A")
    search = tmp_path / "in" / "generation_config.json"
    search.write_text(json.dumps({"penalty_alpha": 0.6, "top_k": 4}))
    with pytest.raises(UserError, match=r"generation_config\.json: penalty_alpha is 0\.6"):
        ft.from_pretrained(tmp_path / "in")
    with pytest.raises(UserError, match="nowhere"):
        ft.from_pretrained(tmp_path / "nowhere")


def test_nothing_is_written_by_a_dry_run_or_into_a_full_folder(tmp_path, capsys, unchecked_types):
    published(tmp_path / "in", "gpt2", "$A")
    main(["import", str(tmp_path / "in"), "--dry-run"])
    assert "gpt2: " in capsys.readouterr().out
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(SystemExit):
        main(["import", str(tmp_path / "in"), "--workdir", str(tmp_path / "run")])
    assert "is not an empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.joinpath("run").iterdir()] == ["mine.txt"]
