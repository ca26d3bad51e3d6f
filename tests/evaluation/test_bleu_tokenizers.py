"""BLEU of languages whose words are not separated by spaces."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import sacrebleu

from flax_transformer.errors import UserError
from flax_transformer.evaluation import bleu_tokenizers
from flax_transformer.evaluation.bleu_tokenizers import check_tokenizer, choose_tokenizer
from flax_transformer.evaluation.scores import bleu, chrf, exact_match

# One sentence in each script, and another one of as many words with the same beginning.
CHINESE = ["我今天去学校上课。", "他昨天在家里看书。"]
JAPANESE = ["私は今日学校に行きます。", "彼は昨日家で本を読みました。"]
THAI = ["วันนี้ฉันไปโรงเรียน", "เมื่อวานเขาอ่านหนังสือ"]
LAO = ["ມື້ນີ້ຂ້ອຍໄປໂຮງຮຽນ", "ມື້ວານລາວອ່ານປຶ້ມ"]
KHMER = ["ថ្ងៃនេះខ្ញុំទៅសាលារៀន", "ម្សិលមិញគាត់អានសៀវភៅ"]
BURMESE = ["ဒီနေ့ကျွန်တော်ကျောင်းသွားတယ်", "မနေ့ကသူစာဖတ်တယ်"]
TIBETAN = ["དེ་རིང་ང་སློབ་གྲྭར་འགྲོ་གི་ཡིན།", "ཁ་སང་ཁོས་དེབ་བཀླགས་པ་རེད།"]
KOREAN = ["나는 오늘 학교에 갑니다.", "그는 어제 집에서 책을 읽었습니다."]
GERMAN = ["Ich gehe heute in die Schule.", "Er las gestern zu Hause ein Buch."]
UNSPACED = [CHINESE, JAPANESE, THAI, LAO, KHMER, BURMESE, TIBETAN]


@pytest.mark.parametrize("texts", [*UNSPACED, KOREAN, GERMAN])
def test_identical_texts_score_one_hundred_in_every_script(texts):
    """Also if the user has not set the target language."""
    tokenize = choose_tokenizer("auto", "de", texts)
    score = bleu(texts, texts, tokenize=tokenize)
    assert score.value == pytest.approx(100)
    assert chrf(texts, texts).value == pytest.approx(100)
    assert exact_match(texts, texts).value == 100
    assert f"|tok:{tokenize}|" in str(score.signature)
    changed = [texts[0][:-2] + "??", texts[1]]
    assert 0 < bleu(changed, texts, tokenize=tokenize).value < 100


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (CHINESE, "zh"),
        (JAPANESE, "char"),
        (["カタカナ"], "char"),
        *((texts, "char") for texts in (THAI, LAO, KHMER, BURMESE, TIBETAN)),
        (KOREAN, "13a"),
        (["나는오늘학교에갑니다그는어제집에서책을읽었습니다"], "char"),
        (GERMAN, "13a"),
        (["Я иду в школу."], "13a"),
        (["मैं आज स्कूल जाता हूँ।"], "13a"),
        (["אני הולך לבית הספר היום"], "13a"),
        (["我用 PyTorch 训练模型"], "zh"),
        (["Das Zeichen 犬 heißt Hund."], "13a"),
        (["这部日剧叫做「あなたの番です」，今天开始播出，大家都很期待这部作品。" * 2], "zh"),
        (["", "12 345"], "13a"),
        ([], "13a"),
    ],
)
@pytest.mark.usefixtures("bare")
def test_the_script_of_the_references_decides(texts, expected):
    assert choose_tokenizer("auto", "de", texts) == expected


@pytest.fixture
def bare(monkeypatch):
    """As if no package of a tokenizer were installed."""
    monkeypatch.setattr(bleu_tokenizers, "find_spec", lambda name: None)


@pytest.fixture
def packages(monkeypatch):
    """As if all packages were installed."""
    monkeypatch.setattr(bleu_tokenizers, "find_spec", lambda name: SimpleNamespace())


@pytest.mark.parametrize("language", ["zh", "zh-CN", "zh_Hant", "zho_Hans", "ZH", "cmn", "yue"])
def test_a_language_decides_whatever_its_script(language):
    assert choose_tokenizer("auto", language, ["pinyin"]) == "zh"


@pytest.mark.usefixtures("packages")
def test_a_tokenizer_of_words_is_taken_where_it_is_installed():
    assert choose_tokenizer("auto", "ja", []) == "ja-mecab"
    assert choose_tokenizer("auto", "en", JAPANESE) == "ja-mecab"
    assert choose_tokenizer("auto", "ko", []) == "ko-mecab"
    assert choose_tokenizer("auto", "en", KOREAN) == "ko-mecab"


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("language", "expected"), [("ja", "char"), ("ko", "13a"), ("th", "char"), ("de", "13a")]
)
def test_without_it_a_language_has_another(language, expected):
    assert choose_tokenizer("auto", language, GERMAN) == expected


@pytest.mark.parametrize("name", ["13a", "intl", "zh", "char"])
def test_a_tokenizer_asked_for_is_taken_and_is_in_the_signature(name):
    assert choose_tokenizer(name, "ja", THAI) == name
    score = bleu(GERMAN, GERMAN, tokenize=name)
    assert f"|tok:{name}|" in str(score.signature)
    assert score == (
        "bleu",
        pytest.approx(sacrebleu.BLEU(tokenize=name).corpus_score(GERMAN, [GERMAN]).score),
        score.signature,
    )


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("ja-mecab", r"sacrebleu\[ja\]"),
        ("ko-mecab", r"sacrebleu\[ko\]"),
        ("spm", "sentencepiece"),
        ("flores200", "sentencepiece"),
    ],
)
def test_a_package_that_is_missing_is_named(name, package):
    with pytest.raises(UserError, match=f"{name} needs a package .* run pip install '{package}'"):
        check_tokenizer(name)


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("name", ["spm", "flores101", "flores200"])
def test_nothing_is_downloaded_unasked(name, monkeypatch, tmp_path):
    monkeypatch.setattr("sacrebleu.utils.SACREBLEU_DIR", str(tmp_path))
    with pytest.raises(UserError, match=f"{name} needs the file {tmp_path}.* download http") as one:
        choose_tokenizer(name, "de", GERMAN)
    path = str(one.value).partition("the file ")[2].partition(",")[0]
    (tmp_path / "models").mkdir()
    open(path, "wb").close()
    assert choose_tokenizer(name, "de", GERMAN) == name.replace("spm", "flores101")


def test_every_tokenizer_of_ours_is_one_of_sacrebleu():
    known = sacrebleu.BLEU.TOKENIZERS
    names = bleu_tokenizers.BleuTokenizer.__args__
    assert {bleu_tokenizers.SAME.get(name, name) for name in names} - {"auto"} <= set(known)


def test_no_tokenizer_is_imported_before_it_is_used():
    """In another process: other tests import it."""
    name = bleu_tokenizers.__name__
    code = f"import {name}, sys; sys.exit('sentencepiece' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_two_spellings_of_one_character_are_one():
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert exact_match([composed], [decomposed]).value == 100
    assert exact_match([decomposed], [composed]).value == 100
    assert exact_match(["cafe"], [composed]).value == 0


@pytest.mark.parametrize("tokenize", ["13a", "zh", "char", "none"])
def test_empty_texts_are_scored(tokenize):
    one = ["我今天去学校上课。"]
    assert bleu([""], one, tokenize=tokenize).value == 0
    assert bleu(one, [""], tokenize=tokenize).value == 0
    assert bleu([""], [""], tokenize=tokenize).value == 0
    assert chrf([""], one).value == 0
    assert exact_match([""], [""]).value == 100
