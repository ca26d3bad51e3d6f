"""The page that `export --format page` writes answers as the model with weights of 16 bits does."""

import configparser
import dataclasses
import functools
import importlib.resources
import re
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from published_experiments import disturb, lines, small_experiment
from untrained import CLASS_NAMES, EXPERIMENTS, write_workdir

import flax_transformer as ft
from flax_transformer.cli import main
from flax_transformer.commands import export_command
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import UserError
from flax_transformer.functional.feed_forward import ACTIVATIONS, Activation
from flax_transformer.interchange import export_page
from flax_transformer.interchange.programs import exported_page, model_page, page_engine
from flax_transformer.interchange.programs.exported_page import in_half
from flax_transformer.interchange.programs.page_examples import first_examples
from flax_transformer.tasks.given_texts import CutTextWarning
from flax_transformer.training.assemble import open_run

pytestmark = pytest.mark.usefixtures("quickly_compiled", "unchecked_types")
EXAMPLES = 2
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
# Sources of a translation: of one length, so that the model is compiled once.
NUMBERS = ["seven", "eleven", "twenty", "ninety", "twelve"]
LONG = "twenty-seven thousand " * 30


def images() -> Any:
    model = dataclasses.replace(EXPERIMENTS["images"].model, image_size=(8, 8))
    return dataclasses.replace(EXPERIMENTS["images"], model=model)


def number_words() -> Any:
    """Translations are short: a model that nobody trained seldom ends them."""
    experiment = small_experiment("number_words")
    decoding = DecodingConfig("greedy", max_extra_length=5)
    data = dataclasses.replace(experiment.data, max_length=19)
    model = dataclasses.replace(experiment.model, num_decoder_layers=1)
    return dataclasses.replace(experiment, decoding=decoding, data=data, model=model)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory) -> Callable[[str], Path]:
    """Writes a workdir of a kind of model once, with random weights."""

    @functools.cache
    def workdir(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name) / "run"
        if name == "number_words":
            return write_workdir(folder, number_words(), Tokenizer.train(lines(), 290), disturb)
        experiment = images() if name == "images" else EXPERIMENTS[name]
        return write_workdir(folder, experiment, change=disturb)

    return workdir


@pytest.fixture(scope="module")
def export(workdir, tmp_path_factory) -> Callable[[str], tuple[Path, Any]]:
    """Exports a kind of model once; gives the page and what the export returns."""
    pytest.importorskip("py_mini_racer", reason="needs the extra page")

    @functools.cache
    def export(name: str) -> tuple[Path, Any]:
        file = tmp_path_factory.mktemp("pages") / f"{name}.html"
        return file, export_page(workdir(name), file, num_examples=EXAMPLES)

    return export


@pytest.fixture
def show(browser, export) -> Iterator[Callable[..., Any]]:
    """Opens a page without a network; it may neither complain nor ask for anything."""
    complaints, requests, contexts = [], [], []

    def open_page(name: str, **options: Any) -> Any:
        contexts.append(browser.new_context(offline=True, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        address = export(name)[0].as_uri()
        page.goto(address)
        page.wait_for_selector("body[data-open]")
        requests.remove(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert requests == []


def in_16_bits(workdir: Path) -> Any:
    """The predictor of a workdir with the weights of its page."""
    predictor = ft.load(workdir)
    predictor.variables = in_half(predictor.variables)
    return predictor


def greedy(predictor: Any) -> DecodingConfig:
    return DecodingConfig("greedy", max_extra_length=predictor.decoding.max_extra_length)


@pytest.mark.parametrize("name", ["number_words", "language_model", "texts", "images"])
def test_every_kind_is_held(name, export):
    file, exported = export(name)
    assert exported.comparison.difference < 1e-5
    assert exported.comparison.num_equal == exported.comparison.number > 0
    # The data of the others are missing.
    number = EXAMPLES * (name in ("number_words", "images"))
    assert exported.num_equal == exported.number == number
    assert bool(exported.lacks) == (number == 0)
    page = file.read_text("utf-8")
    assert len(page.encode()) == exported.num_bytes
    script = re.findall(r'<script type="module">(.*?)</script>', page, re.S)
    assert len(script) == 1
    assert len(script[0]) < 100_000
    assert "default-src 'none'; style-src 'sha256-" in page
    assert not re.search(r"(src|href)=|@import|url\(|unsafe", page)


def test_a_translation_grows_and_shows_where_it_looks(show, workdir):
    expect = pytest.importorskip("playwright.sync_api").expect
    page = show("number_words", **PHONE)
    translator = in_16_bits(workdir("number_words"))
    page.get_by_label("Text to translate").fill("seven")
    page.keyboard.press("Enter")
    expect(page.locator("#stop")).to_be_disabled()
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    expected = translator.translate("seven", greedy(translator))
    assert page.locator("#answer").text_content() == expected
    assert len(expected) > 5
    ids = translator.tokenizer.encode(expected)
    names = translator.tokenizer.names([*translator.tokenizer.encode("seven"), 2])
    assert page.locator("#keys > *").all_text_contents() == names
    chosen = page.locator("#queries button").nth(1)
    chosen.focus()
    page.keyboard.press("ArrowLeft")
    first = page.locator("#queries button").first
    expect(first).to_be_focused()
    expect(first).to_have_attribute("aria-pressed", "true")
    page.locator("#layer").select_option("0")
    page.locator("#head").select_option("1")
    # The weights of the first token to the source, in layer 0 and head 1.
    source = [*translator.tokenizer.encode("seven"), 2]
    shown = translator.attention(source, [translator.tokenizer.bos_id, *ids[:1]])
    weights = shown["weights"]["cross"][0, 1, 0]
    best = int(weights.argmax())
    words = f"looks at “{names[best].replace(' ', '␣')}” {weights[best]:.2f}"
    expect(page.locator("#readout")).to_contain_text(words)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_an_empty_text_clears_the_last_translation(show):
    expect = pytest.importorskip("playwright.sync_api").expect
    page = show("number_words", **PHONE)
    text = page.get_by_label("Text to translate")
    text.fill(LONG)
    page.keyboard.press("Enter")
    note = page.locator("#result #note")
    expect(note).to_have_text(re.compile(r"^Of \d+ tokens, only the first 19 are read\.$"))
    expect(page.locator("#speed")).to_contain_text("token")
    expect(page.locator("#readout")).to_contain_text("looks at")
    text.fill("")
    page.get_by_role("button", name="Translate").click()
    for name in ("answer", "note", "speed", "readout", "queries"):
        expect(page.locator(f"#{name}")).to_have_text("")
    for name in ("result", "looks"):
        expect(page.locator(f"#{name}")).to_be_hidden()


def test_a_prompt_that_is_cut_is_reported(show):
    expect = pytest.importorskip("playwright.sync_api").expect
    page = show("language_model")
    for number, note in ((17, ""), (18, "Of 18 tokens, only the last 16 are read.")):
        page.get_by_label("Beginning of a text").fill("b" * number)
        page.get_by_role("button", name="Continue").click()
        expect(page.locator("#result #note")).to_have_text(note)
        expect(page.locator("#stop")).to_be_disabled()
    # All that is read is shown, before the first token that is written.
    page.get_by_label("Length").fill("1")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#keys > *")).to_have_count(16)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("Temperature", "", "Temperature must be a number from 0 to 5"),
        ("Temperature", "-1", "Temperature must be a number from 0 to 5"),
        ("Seed", "9" * 20, "Seed must be a whole number from 0 to 4294967295"),
        ("Seed", "0.5", "Seed must be a whole number from 0 to 4294967295"),
        ("Length", "", "Length must be a whole number from 1 to 1000000"),
    ],
)
def test_a_number_that_means_nothing_is_refused(show, field, value, reason):
    expect = pytest.importorskip("playwright.sync_api").expect
    page = show("language_model")
    page.get_by_label("Beginning of a text").fill("abc")
    before = page.get_by_label(field).input_value()
    page.get_by_label(field).fill(value)
    page.get_by_label("Beginning of a text").press("Control+Enter")
    expect(page.locator("#error")).to_have_text(reason)
    expect(page.locator("#result")).to_be_hidden()
    page.get_by_label(field).fill(before)
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#answer")).to_contain_text("abc")
    expect(page.locator("#error")).to_have_text("")


def test_a_text_goes_on_by_its_seed(show):
    expect = pytest.importorskip("playwright.sync_api").expect
    page = show("language_model")
    page.get_by_label("Beginning of a text").fill("abc")
    answers = []
    for temperature, seed in ((1, 3), (1, 3), (1, 4), (0, 3)):
        page.get_by_label("Temperature").fill(str(temperature))
        page.get_by_label("Seed").fill(str(seed))
        page.get_by_label("Length").fill("23")
        page.get_by_role("button", name="Continue").click()
        expect(page.locator("#stop")).to_be_disabled()
        answers.append(page.locator("#answer").text_content())
    assert answers[0] == answers[1]
    assert len({*answers}) == 3
    assert all(answer.startswith("abc") for answer in answers)


def test_a_text_is_classified_while_it_is_typed(show, workdir):
    page = show("texts", **PHONE)
    classifier = in_16_bits(workdir("texts"))
    for text in ("two", "", "<s> \U0001f600", LONG):
        page.get_by_label("Text to classify").fill(text)
        found = page.locator("#bars li").all_inner_texts()
        prediction = classifier.classify([text])[0]
        expected = [f"{label} {p:.1%}" for label, p in prediction.probabilities.items()]
        assert ["".join(each.split()) for each in found] == ["".join(x.split()) for x in expected]
        note = page.locator("#note").text_content()
        number = len(classifier.tokenizer.encode(text, marked=True))
        cut = f"Of {number} tokens, only the first 17 are read."
        assert note == (cut if text == LONG else "")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_drawing_is_classified_as_its_pixels(show, workdir, tmp_path):
    page = show("images")
    classifier = in_16_bits(workdir("images"))
    first = page.locator("#bars").inner_text()
    page.get_by_role("button", name="Clear").click()
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + 30, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 180, box["y"] + 120, steps=5)
    page.mouse.up()
    page.wait_for_timeout(100)
    pixels = page.evaluate("[...seen.pixels]")
    image = np.reshape(pixels, (8, 8, 1)).astype(np.uint8)
    assert 3 < (image > 100).sum() < 40
    (prediction,) = classifier.classify([image])
    found = page.locator("#bars").inner_text()
    assert found.split()[0] == prediction.label
    assert f"{100 * prediction.probabilities[prediction.label]:.1f}" in found
    assert found != first


def test_a_broken_picture_takes_the_last_answer_away(show, tmp_path):
    expect = pytest.importorskip("playwright.sync_api").expect
    page = show("images", **PHONE)
    expect(page.locator("#readout")).to_contain_text(
        re.compile(r"row [1-9]\d*, column [1-9]\d*\) has")
    )
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    for _ in range(2):
        page.locator("#file").set_input_files(broken)
        reason = page.locator("#error")
        expect(reason).to_have_text("broken.png is not a picture that this browser reads")
        expect(reason).to_be_in_viewport()
        for name in ("result", "looks"):
            expect(page.locator(f"#{name}")).to_be_hidden()
        assert page.evaluate("seen.pixels") is None
        page.get_by_role("group", name="Examples").get_by_role("button").first.click()
        expect(reason).to_have_text("")
        expect(page.locator("#bars")).to_be_visible()


def test_a_page_answers_long_and_empty_texts_as_the_model(show, workdir):
    page = show("number_words")
    translator = in_16_bits(workdir("number_words"))
    texts = ["", "  ", *NUMBERS, LONG]
    found = page.evaluate("(texts) => texts.map((text) => model.answer(text))", texts)
    assert found[:2] == ["", ""]
    with pytest.warns(CutTextWarning):
        assert found == translator.translate(texts, greedy(translator))


@pytest.mark.parametrize(
    ("command", "reads", "message"),
    [
        ("classify", "videos", "cannot classify videos, as runs/mine does: give --form"),
        ("fill", "tokens", "cannot fill texts, as runs/mine does: give --format onnx$"),
        ("classify", "tokens", "holds at most 50,000,000 weights, but runs/mine has 70,000,000: "),
    ],
)
def test_what_the_page_cannot_hold_is_named(command, reads, message, tmp_path, monkeypatch):
    task = types.SimpleNamespace(command=command, takes=(reads, "classes"))
    variables = {"params": jax.ShapeDtypeStruct((7, 10**7), "float32")}
    run = types.SimpleNamespace(task=task, variables=variables)
    monkeypatch.setattr(exported_page, "open_run", lambda *arguments, **options: run)
    with pytest.raises(UserError, match=f"^--format page {message}"):
        export_page("runs/mine", tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_all_files_of_the_page_are_used_and_packaged():
    folder = importlib.resources.files(page_engine.FOLDER) / "page"
    names = {file.name for file in folder.iterdir()}
    assert names == {"model_page.html", *model_page._STYLES, *model_page._SCRIPTS}
    config = configparser.ConfigParser()
    config.read(Path(__file__).parents[2] / "setup.cfg")
    assert config["options.package_data"][page_engine.FOLDER] == "page/*"


def test_an_option_that_it_cannot_hold_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "mine", Activation(lambda x: jnp.sort(x), False, "of a test"))
    experiment = images()
    model = dataclasses.replace(experiment.model, activation="mine")
    folder = write_workdir(tmp_path / "run", dataclasses.replace(experiment, model=model))
    start = "--format page cannot hold --model.activation mine, which needs JAX's operation sort"
    with pytest.raises(UserError, match=f"^{start}: give --format stablehlo or --format onnx$"):
        export_page(folder, tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_weights_that_do_not_fit_into_16_bits_are_named():
    variables = {"params": {"a": np.full(3, 70_000, np.float32), "steps": np.array(70_000)}}
    expected = "^--format page keeps weights in 16 bits, which cannot hold 70000 of params/a: give"
    with pytest.raises(UserError, match=expected):
        in_half(variables)
    variables["params"]["a"] = np.array([1 / 3], np.float32)
    rounded = in_half(variables)["params"]
    assert rounded["a"].dtype == np.float32
    assert rounded["a"][0] == np.float16(1 / 3) != np.float32(1 / 3)
    assert rounded["steps"] == 70_000


def test_the_command_says_what_it_wrote(export, tmp_path, capsys, monkeypatch):
    written = {name: export(name)[1] for name in ("images", "texts")}
    out = str(tmp_path / "page.html")
    words = ["export", "--workdir", "images", "--out", out, "--format", "page"]
    monkeypatch.setattr(
        export_command, "export_page", lambda workdir, *_, **__: written[workdir.name]
    )
    main(words)
    said = " ".join(capsys.readouterr().out.split())
    assert re.search(r"page.html holds the model in 0\.1 MB, \d+ kB of them without weights", said)
    assert re.search(r"largest relative difference \d\.\de-0\d, 3 of 3 largest logits", said)
    assert re.search(r"outputs for 2 examples of the data: 2 are those of this model, and 0", said)
    main([word.replace("images", "texts") for word in words])
    said = " ".join(capsys.readouterr().out.split())
    assert "no outputs for examples were compared: train.csv does not exist" in said
    with pytest.raises(SystemExit):
        main([*words, "--dtype", "float16"])
    error = " ".join(capsys.readouterr().err.split())
    assert "--dtype float16 is not for --format page: give float32" in error


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::flax_transformer.tasks.given_texts.CutTextWarning")
@pytest.mark.parametrize("name", ["number_words", "digits"])
def test_200_inputs_are_answered_in_a_browser_as_by_the_model(name, browser, tmp_path):
    pytest.importorskip("py_mini_racer", reason="needs the extra page")
    tokenizer = Tokenizer.train(lines(), 290) if name == "number_words" else None
    folder = write_workdir(tmp_path / "run", small_experiment(name), tokenizer, disturb)
    exported = export_page(folder, tmp_path / "page.html")
    assert exported.num_bytes - exported.num_weight_bytes * 4 / 3 < 3e6
    predictor = in_16_bits(folder)
    task = open_run(folder, "average").task
    examples = first_examples(task, 200)
    assert len(examples) == 200
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    # The first answer is there within two seconds after the page is loaded.
    page.wait_for_selector("body[data-done]", timeout=2000)
    if name == "digits":
        given = [image.ravel().tolist() for image in examples]
        found = page.evaluate(
            "(all) => all.map((x) => [...model.classify(x).probabilities])", given
        )
        predictions = predictor.classify(np.stack(examples))
        expected = [[each.probabilities[c] for c in CLASS_NAMES] for each in predictions]
        np.testing.assert_allclose(found, expected, atol=1e-5)
    else:
        found = page.evaluate("(texts) => texts.map((text) => model.answer(text))", examples)
        assert found == predictor.translate(examples, greedy(predictor))
    context.close()
