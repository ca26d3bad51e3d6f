"""Plants every fault that the checks of data look for, and finds it; clean data have none."""

import codecs
import unicodedata

import numpy as np
import pytest
import tokenizers

from flax_transformer.data.checks.characters import find_characters
from flax_transformer.data.checks.class_counts import check_classes
from flax_transformer.data.checks.examine import examine
from flax_transformer.data.checks.examined import (
    LABELED,
    PAIR,
    TAGGED,
    TEST,
    TEXT,
    TRAIN,
    Example,
    Part,
    part_of_files,
)
from flax_transformer.data.checks.file_lines import check_lines
from flax_transformer.data.checks.findings import NOTE, SERIOUS, WARNING, shorten
from flax_transformer.data.checks.measured import BLOCK_SIZE, SAMPLE_SIZE, measure
from flax_transformer.data.checks.repeated import (
    find_common,
    find_other_versions,
    find_repeats,
    normalize,
)
from flax_transformer.data.checks.sides import find_unlikely_lengths
from flax_transformer.data.checks.swapped import find_swapped, learn_spelling, tells_apart
from flax_transformer.data.checks.token_checks import UNKNOWN, TokenChecks
from flax_transformer.data.datasets.number_words import speller
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError

ENGLISH, GERMAN = speller("en"), speller("de")
NUMBERS = np.random.default_rng(3).permutation(np.arange(1_000, 100_000))[:701].tolist()
CLEAN = [(ENGLISH(number), GERMAN(number)) for number in NUMBERS]
TRAINED, TESTED = CLEAN[:600], CLEAN[600:]


def part(name, kind, texts, classes=None):
    """A part of given texts; its characters are checked too."""
    rows = list(zip(texts, classes or [()] * len(texts), strict=True))

    def read():
        return (Example(n, *row) for n, row in enumerate(rows, 1))

    return Part(name, kind, "line", read)


def found_in(*parts, **options):
    """(kind, part) -> (count, numbers of the first places) of all that is found."""
    return {
        (finding.kind.name, finding.where): (
            finding.count,
            [place.number for place in finding.places],
        )
        for finding in examine(parts, **options).findings
    }


def in_pairs(train=(), test=()):
    """What is found in clean pairs, in some of which others are planted: index -> pair."""
    trained, tested = list(TRAINED), list(TESTED)
    for pairs, planted in ((trained, train), (tested, test)):
        for index, pair in dict(planted).items():
            pairs[index] = pair
    return found_in(part(TRAIN, PAIR, trained), part(TEST, PAIR, tested))


def test_clean_pairs_have_no_findings():
    report = examine([part(TRAIN, PAIR, TRAINED), part(TEST, PAIR, TESTED)])
    assert (report.findings, report.notes, report.is_serious) == ([], [], False)


def swapped(pair):
    return pair[1], pair[0]


@pytest.mark.parametrize(
    ("kind", "planted"),
    [
        ("empty", {4: ("", TRAINED[4][1]), 9: (TRAINED[9][0], " \t"), 11: ("", "")}),
        ("identical_sides", {2: (GERMAN(7), GERMAN(7))}),
        ("length_ratio", {7: (TRAINED[7][0], TRAINED[7][1] * 9), 8: (TRAINED[8][0], "ja")}),
        ("swapped_sides", {3: swapped(TRAINED[3]), 71: swapped(TRAINED[71])}),
        ("long_line", {5: ("one " * 700, "eins " * 700)}),
        ("duplicate", {40: TRAINED[3], 41: TRAINED[3]}),
        ("several_targets", {50: (TRAINED[3][0], GERMAN(12_345))}),
        ("control_character", {6: ("nine\x07 ", "neun")}),
        ("invisible_character", {6: ("ni\u200bne", "neun")}),
        ("line_separator", {6: ("nine\u2028ten", "neun zehn")}),
        ("not_nfc", {6: ("five", "fu\u0308nf")}),
        ("replacement_character", {6: ("five", "f\ufffdnf")}),
    ],
)
def test_a_planted_fault_of_pairs_is_found_where_it_is(kind, planted):
    found = in_pairs(train=planted.items())
    numbers = [index + 1 for index in planted][:3]
    assert found == {(kind, TRAIN): (len(planted), numbers)}


@pytest.mark.parametrize(
    ("kind", "planted"),
    [
        ("overlap", TRAINED[17]),
        ("overlap_normalized", (f" {TRAINED[17][0].upper()}!", f"{TRAINED[17][1].title()}.")),
        ("overlap_source", (TRAINED[17][0], GERMAN(54_321))),
    ],
)
def test_an_overlap_of_test_with_train_is_found_in_its_strictest_form_only(kind, planted):
    assert in_pairs(test=[(23, planted)]) == {(kind, TEST): (1, [24])}


def test_a_finding_names_the_other_place_and_shows_the_texts():
    tested = [*TESTED, TRAINED[17]]
    (finding,) = examine([part(TRAIN, PAIR, TRAINED), part(TEST, PAIR, tested)]).findings
    (place,) = finding.places
    assert place == (102, tuple(map(shorten, TRAINED[17])), "line 18 of train")
    assert (finding.count, finding.total, finding.severity) == (1, 102, WARNING)


@pytest.mark.parametrize(("number", "severity"), [(1, WARNING), (2, SERIOUS)])
def test_an_overlap_of_more_than_a_hundredth_is_serious(number, severity):
    tested = [*TESTED, *TRAINED[:number]]
    report = examine([part(TRAIN, PAIR, TRAINED), part(TEST, PAIR, tested)])
    assert [finding.severity for finding in report.findings] == [severity]
    assert report.is_serious == (severity == SERIOUS)


def test_a_wholly_swapped_test_set_is_found_by_the_spelling_of_train():
    tested = list(map(swapped, TESTED))
    report = examine([part(TRAIN, PAIR, TRAINED), part(TEST, PAIR, tested)])
    assert [(f.kind.name, f.count, f.severity) for f in report.findings] == [
        ("swapped_sides", 101, SERIOUS)
    ]


def test_sides_of_one_spelling_are_not_judged():
    letters = np.random.default_rng(5).integers(97, 123, (300, 11))
    pairs = [("".join(map(chr, row)), "".join(map(chr, row[::-1]))) for row in letters]
    report = examine([part(TRAIN, PAIR, pairs)])
    assert report.findings == []
    assert report.notes == ["order of the sides: the spelling of the two sides is too similar"]
    sides = [list(side) for side in zip(*pairs, strict=True)]
    assert not tells_apart(*sides)
    assert tells_apart(*(list(side) for side in zip(*TRAINED, strict=True)))


def test_the_order_of_a_pair_does_not_depend_on_its_neighbors():
    sources, targets = (list(side) for side in zip(*TRAINED, strict=True))
    weights = learn_spelling(sources, targets)
    mixed = [pair if index % 3 else swapped(pair) for index, pair in enumerate(TESTED)]
    together = find_swapped(weights, *(list(side) for side in zip(*mixed, strict=True)))
    apart = [i for i, (a, b) in enumerate(mixed) if len(find_swapped(weights, [a], [b]))]
    assert together.tolist() == apart == list(range(0, len(mixed), 3))


def test_lengths_in_another_proportion_are_as_likely():
    rng = np.random.default_rng(7)
    source = rng.integers(5, 300, 1_009)
    target = np.rint(3 * source + rng.normal(size=1_009) * np.sqrt(source)).astype(int).clip(1)
    assert not len(find_unlikely_lengths(source, target))
    target[[13, 17]] = 9 * target[13], 0
    assert find_unlikely_lengths(source, target).tolist() == [13]


def test_repetitions_are_those_of_a_dictionary():
    rng = np.random.default_rng(11)
    keys, wholes = rng.integers(0, 50, 211), rng.integers(0, 90, 211)
    wholes += 1_000 * keys  # a whole belongs to one key
    seen, repeats = {}, []
    for index, whole in enumerate(wholes.tolist()):
        if whole in seen:
            repeats.append((index, seen[whole]))
        seen.setdefault(whole, index)
    assert list(zip(*(part.tolist() for part in find_repeats(wholes)), strict=True)) == repeats
    first, others = {}, []
    for index in sorted(seen.values()):
        key = int(keys[index])
        if key in first:
            others.append((index, first[key]))
        first.setdefault(key, index)
    found = find_other_versions(keys, wholes)
    assert list(zip(*(part.tolist() for part in found), strict=True)) == others
    common = [(i, keys.tolist().index(k)) for i, k in enumerate(range(30, 70)) if k in keys]
    found = find_common(keys, np.arange(30, 70))
    assert list(zip(*(part.tolist() for part in found), strict=True)) == common
    assert [len(part) for part in find_common(keys[:0], keys)] == [0, 0]


def test_normalizing_keeps_the_vowels_of_hindi():
    word = "हिन्दी"
    assert normalize(f"«{word}», ") == unicodedata.normalize("NFC", word)


@pytest.mark.parametrize(
    "text",
    [
        "naïve café – «Grüße»\u00a0! 日本語\tשלום हिन्दी",
        "می\u200cخواهم",  # a joiner between Persian letters
        "👩\u200d👧",  # and within an emoji
        "",
    ],
)
def test_ordinary_texts_of_any_script_have_no_findings(text):
    assert find_characters(unicodedata.normalize("NFC", text)) == []


@pytest.mark.parametrize(
    ("text", "kind", "at"),
    [
        ("a\x00", "control_character", 1),
        ("ab\x7f", "control_character", 2),
        ("a\rb", "line_separator", 1),
        ("a\x85b", "line_separator", 1),
        ("a\x0cb", "line_separator", 1),
        ("\u202eabc", "invisible_character", 0),
        ("ab\ufeffc", "invisible_character", 2),
        ("soft\u00adhyphen", "invisible_character", 4),
        ("a\u200d b", "invisible_character", 1),
        ("\u212b", "not_nfc", 0),  # the sign of the unit
    ],
)
def test_an_unusual_character_is_found(text, kind, at):
    assert [(found.name, place) for found, place in find_characters(text)] == [(kind, at)]


def test_lines_of_bytes_are_counted_with_their_offsets():
    lines = [codecs.BOM_UTF8 + b"one\r\n", "zwölf\n".encode(), b"f\xfcnf\r\n", b"vier"]
    found = {f.kind.name: f for f in check_lines("x.txt", lines)}
    assert set(found) == {"byte_order_mark", "crlf", "invalid_utf8"}
    assert [place.number for place in found["crlf"].places] == [1, 3]
    assert found["invalid_utf8"].severity == SERIOUS
    offset = b"".join(lines).index(b"\xfc")
    assert found["invalid_utf8"].places == ((3, ("f\\xfcnf",), f"byte {offset} of the file"),)
    assert check_lines("y.txt", [b"one\n", b"two\n"]) == []


def labels(**counts):
    names = [name for name, count in counts.items() for _ in range(count)]
    return [(f"text {index} of {name}",) for index, name in enumerate(names)], [(n,) for n in names]


def test_classes_too_rare_missing_or_of_very_different_sizes_are_found():
    train = part(TRAIN, LABELED, *labels(a=300, b=9, c=31))
    test = part(TEST, LABELED, *labels(a=3, d=2))
    assert found_in(train, test) == {
        ("rare_class", TRAIN): (1, [301]),
        ("class_imbalance", TRAIN): (1, [1, 301]),
        ("missing_class", TEST): (1, [4]),
        ("overlap", TEST): (3, [1, 2, 3]),
    }
    assert found_in(part(TRAIN, LABELED, *labels(a=100, b=10))) == {}
    assert check_classes({}, TEST, {"a": (3, 1)}) == []


def test_a_text_of_two_classes_is_found_and_tags_are_classes():
    texts = [(f"text {index}",) for index in range(40)]
    classes = [("ab"[index % 2],) for index in range(40)]
    found = found_in(part(TRAIN, LABELED, [*texts, texts[6]], [*classes, ("b",)]))
    assert found == {("several_classes", TRAIN): (1, [41])}
    found = found_in(part(TRAIN, TAGGED, [*texts, ("a b",)], [*classes, ("a", "X")]))
    assert found == {("rare_class", TRAIN): (1, [41]), ("class_imbalance", TRAIN): (1, [1, 41])}


def test_only_long_lines_of_plain_text_count_as_repeated():
    lines = [("ROMEO:",), ("a" * 40,), ("ROMEO:",), ("a" * 40,)]
    assert found_in(part(TRAIN, TEXT, lines)) == {("duplicate", TRAIN): (1, [4])}


WORDS = Tokenizer.train([text for pair in TRAINED for text in pair], 900)


def test_a_tokenizer_shows_unknown_spelled_and_long_texts():
    letters = Tokenizer.of_characters([" abc"])
    texts = [("abc",), ("abd",), ("abcabc",)]
    tokens = {TEXT: [TokenChecks(letters, max_length=5)]}
    found = found_in(part(TRAIN, TEXT, texts), tokens=tokens)
    assert found == {("unknown_token", TRAIN): (1, [2]), ("too_long", TRAIN): (1, [3])}
    # A byte-level tokenizer knows everything, but spells letters that it has not learned.
    tokens = {PAIR: [TokenChecks(WORDS), TokenChecks(WORDS)]}
    planted = [*TRAINED[:500], ("thirty-three", "dreiunddreißig ☃")]
    found = found_in(part(TRAIN, PAIR, planted), tokens=tokens)
    assert {kind: places for (kind, _), places in found.items()} == {"spelled_in_bytes": (1, [501])}


def of_words(**options):
    words = {"a": 0, "b": 1, "?": 2}
    subwords = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, **options))
    subwords.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return Tokenizer(subwords)


def of_pieces(**options):
    model = tokenizers.models.BPE({"a": 0, "b": 1, "?": 2}, [], **options)
    return Tokenizer(tokenizers.Tokenizer(model))


@pytest.mark.parametrize(
    "tokenizer",
    [of_words(unk_token="?"), of_pieces(unk_token="?"), of_pieces(), Tokenizer.of_characters("ab")],
    ids=["words", "pieces", "dropping", "characters"],
)
def test_what_a_tokenizer_replaces_or_leaves_out_is_unknown(tokenizer):
    checks = TokenChecks(tokenizer)
    assert checks.check(["ab"[:1], "ж", "b"]).is_unknown.tolist() == [False, True, False]
    assert checks.first_fault("bж", UNKNOWN) == 1


def test_a_tokenizer_that_refuses_unknown_words_still_checks_the_others():
    checks = TokenChecks(of_words())
    assert checks.check(["a b"]).is_unknown.tolist() == [False]
    with pytest.raises(UserError, match="cannot encode every text"):
        checks.check(["ж"])


def test_the_marks_of_a_text_count_as_tokens():
    number = len(WORDS.encode("zwölf"))
    for begin in (False, True):
        marked = number + 1 + begin
        for limit in (marked - 1, marked):
            (is_long,) = TokenChecks(WORDS, limit, begin).check(["zwölf"]).is_long
            assert is_long == (marked > limit)


def test_what_cannot_be_read_is_a_serious_finding_and_the_rest_is_examined(tmp_path):
    def fail():
        yield Example(1, ("one", "eins"))
        raise UserError("a.txt has 3 lines but b.txt has 2")

    broken = part(TRAIN, PAIR, TRAINED)._replace(read=fail)
    report = examine([broken, part(TEST, PAIR, [*TESTED, TESTED[5]])])
    assert [(f.kind.name, f.where, f.severity) for f in report.findings] == [
        ("unreadable", TRAIN, SERIOUS),
        ("duplicate", TEST, WARNING),
    ]
    assert report.findings[0].places[0].note == "a.txt has 3 lines but b.txt has 2"
    assert report.notes == ["overlap, order of the sides, classes: train cannot be read"]


def test_numbers_and_samples_go_on_from_block_to_block():
    number = SAMPLE_SIZE + BLOCK_SIZE + 1
    whole = measure(part(TRAIN, TEXT, []), (Example(n, (str(n),)) for n in range(number)))
    assert whole.rows.numbers.tolist() == list(range(number))
    assert [example.number for example in whole.sample] == list(range(0, number, 2))


TABLE = 'label,text\r\n\r\nA,one\r\nB,"two\r\nlines"\r\n'
CONLLU = "".join(f"{n}\t{word}\t_\t{tag}" + "\t_" * 6 + "\n" for n, word, tag in [(1, "a", "X")])


@pytest.mark.parametrize(
    ("name", "text", "kind", "examples"),
    [
        ("a.tsv", "one\teins\n\ntwo\tzwei\n", PAIR, [(1, ("one", "eins")), (3, ("two", "zwei"))]),
        ("a.tsv", "Text\tlabel\none\tA\n", LABELED, [(2, ("one",), ("A",))]),
        ("a.csv", TABLE, LABELED, [(3, ("one",), ("A",)), (4, ("two\r\nlines",), ("B",))]),
        ("a.conllu", CONLLU, TAGGED, [(1, ("a",), ("X",))]),
        ("a.txt", "one\n\ntwo", TEXT, [(1, ("one",)), (3, ("two",))]),
    ],
)
def test_a_file_is_read_as_its_ending_says(tmp_path, name, text, kind, examples):
    path = tmp_path / name
    path.write_bytes(text.encode())
    found = part_of_files(TRAIN, [path])
    assert (found.kind, found.files) == (kind, (path,))
    assert list(found.read()) == [Example(*example) for example in examples]


def test_two_files_are_pairs_and_a_folder_is_text(tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"{name}\n")
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    assert list(part_of_files(TRAIN, paths).read()) == [Example(1, ("a.txt", "b.txt"))]
    folder = part_of_files(TRAIN, [tmp_path])
    assert folder.files == tuple(paths)
    assert list(folder.read()) == [Example(1, ("a.txt",)), Example(2, ("b.txt",))]
    with pytest.raises(UserError, match="3 files of test: give one file, or two"):
        part_of_files(TEST, [*paths, paths[0]])


def test_a_long_text_is_shortened_around_its_fault():
    assert shorten("b" * 200, 150) == "…" + "b" * 60 + "…"
    assert {NOTE, WARNING, SERIOUS} == {"note", "warning", "serious"}
