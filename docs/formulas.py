"""Formulas of docstrings as MathML, which browsers show without a script or a network.

The notation is that of the docstrings: `softmax(query key^T / sqrt(head_dim) + bias) value`. A
space multiplies, `/` divides the product before it, `^` is a power, and `_` before one letter or
number is an index. Words after a comma and two spaces stay words.
"""

import re
from html import escape

TOKEN = re.compile(
    r"sum over (?P<sum>(?:the )?(?:chosen )?(?:experts )?\w) of"
    r"|(?P<space>\s+)"
    r"|(?P<name>[A-Za-zΑ-ω][A-Za-z0-9Α-ω]*(?:_[A-Za-z0-9]+)*)"
    r"|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<mark>\.\.\.|\*\*|<=|>=|!=|//|[-+*/^_=<>~(),|.·\[\]:;])"
)
LABEL = re.compile(r"(\w+:) +")
RELATIONS = {"=": "=", "<": "&lt;", ">": "&gt;", "<=": "≤", ">=": "≥", "!=": "≠", "~": "∼"}
GREEK = {"alpha": "α", "epsilon": "ε", "theta": "θ", "pi": "π", "Phi": "Φ"}
OPERATORS = {"mod", "div", "in"}
PROSE = {
    *("a", "and", "as", "at", "by", "each", "else", "every", "for", "given", "if", "is", "number"),
    *("of", "one", "or", "otherwise", "over", "same", "the", "to", "where", "with"),
}
CLOSING = {"(": ")", "[": "]"}


class _NotAFormulaError(Exception):
    """The text has something that the notation does not have."""


def to_mathml(lines: list[str]) -> str | None:
    """Converts the lines of a formula, one row each; None if they hold more than formulas."""
    has_label = bool(LABEL.match(lines[0]))
    aligned = [re.sub(r" +=", " =", line) for line in lines]
    # Other columns that are aligned by spaces are a layout of their own.
    if any(re.search(r"[^,:;\s] {2,}" if has_label else r"^\s|[^,:;\s] {2,}", a) for a in aligned):
        return None
    try:
        rows = [_row(line.strip(), is_first=number == 0) for number, line in enumerate(aligned)]
    except _NotAFormulaError:
        return None
    # Labels are a column of their own.
    between = "</mtd><mtd>" if has_label else ""
    cells = "".join(f"<mtr><mtd>{label}{between}{row}</mtd></mtr>" for label, row in rows)
    return f'<math display="block"><mtable displaystyle="true">{cells}</mtable></math>'


def _row(line: str, is_first: bool) -> tuple[str, str]:
    """A line: a label if there is one; formulas, and what is said about them."""
    label = LABEL.match(line)
    parts: list[str] = []
    text = line[label.end() :] if label else line
    for number, (part, mark) in enumerate(re.findall(r"(.+?)([,;]  |$)", text)):
        try:
            parts.append(_Parser(part).formula())
        except _NotAFormulaError:
            if is_first and number == 0:
                raise
            parts.append(f"<mtext>{escape(part)}</mtext>")
        parts += [f"<mo>{mark[0]}</mo><mspace width='1.5em'/>"] if mark else []
    return f"<mtext>{label[1]}</mtext><mspace width='1em'/>" if label else "", "".join(parts)


class _Parser:
    """Reads one line, from left to right."""

    def __init__(self, text: str):
        self.tokens: list[tuple[str, str]] = []
        place = 0
        while place < len(text):
            found = TOKEN.match(text, place)
            if found is None or found[0] in PROSE:
                raise _NotAFormulaError
            kind = str(found.lastgroup)
            self.tokens.append((kind, found[kind]))
            place = found.end()
        self.place = 0
        self.depth = 0  # of exponents

    def formula(self) -> str:
        """Reads all of it."""
        shown = self._list()
        if self._next() is not None:
            raise _NotAFormulaError
        return shown

    def _list(self) -> str:
        parts = [self._relation()]
        while self._next() == ",":
            self._take()
            parts += ["<mo>,</mo>", self._relation()]
        return "".join(parts)

    def _relation(self) -> str:
        parts = [self._sum()]
        while self._next() in RELATIONS:
            parts += [f"<mo>{RELATIONS[self._take()]}</mo>", self._sum()]
        return "".join(parts)

    def _sum(self) -> str:
        parts = []
        if self._next() == "-":
            parts.append(f"<mo>{self._take() and '−'}</mo>")
        parts.append(self._product())
        while self._next() in ("+", "-"):
            parts += [f"<mo>{self._take().replace('-', '−')}</mo>", self._product()]
        return "".join(parts)

    def _product(self) -> str:
        factors = [self._power()]
        while (mark := self._next()) is not None:
            if mark == "/":
                self._take()
                start = self.place
                fenced = self._power()
                end, self.place = self.place, start
                below = self._power(as_group=True)
                assert self.place == end
                above = "".join(factors)
                fraction = f"<mfrac><mrow>{_bare(above)}</mrow><mrow>{below}</mrow></mfrac>"
                factors = [fraction if not self.depth else f"{above}<mo>/</mo>{fenced}"]
                # Of a / b c it cannot be seen what c belongs to.
                if self._begins_factor():
                    raise _NotAFormulaError
            elif mark in ("*", ".", "·"):
                self._take()
                factors += ["<mo>·</mo>", self._power()]
            elif mark in OPERATORS:
                factors += [
                    f"<mo form='infix'>{self._take().replace('in', '∈')}</mo>",
                    self._power(),
                ]
            elif self._begins_factor():
                gap = "<mspace width='0.25em'/>" * (self.tokens[self.place - 1][0] == "space")
                factors += [gap, self._power()]
            else:
                break
        return "".join(factors)

    def _begins_factor(self) -> bool:
        mark = self._next()
        kind = self.tokens[self.place][0] if mark is not None else ""
        if mark == "|":
            return bool(self.place and self.tokens[self.place - 1][0] == "space")
        return mark is not None and (kind in ("name", "number", "sum") or mark in "([")

    def _power(self, as_group: bool = False) -> str:
        base = self._atom(as_group)
        while self._next() in ("^", "**"):
            self._take()
            sign = f"<mo>{self._take() and '−'}</mo>" if self._next() == "-" else ""
            self.depth += 1  # where fractions would be too small to read
            above = self._atom(as_group=True)
            self.depth -= 1
            base = f"<msup><mrow>{base}</mrow><mrow>{sign}{above}</mrow></msup>"
        return base

    def _atom(self, as_group: bool = False) -> str:
        """A name, a number, a call, or what is in parentheses; `as_group` leaves these out."""
        self._next()
        if self.place >= len(self.tokens):
            raise _NotAFormulaError
        kind, text = self.tokens[self.place]
        self.place += 1
        if kind == "number":
            return f"<mn>{text}</mn>"
        if kind == "name":
            return self._postfix(text)
        if kind == "sum":
            return f"<munder><mo>∑</mo><mtext>{text}</mtext></munder>"
        if text == "...":
            return "<mo>…</mo>"
        if text in CLOSING:
            inside = self._inside(text)
            group = inside if as_group and text == "(" else _fenced(text, inside, CLOSING[text])
            return self._indexed(group)
        if text == "|":
            inside = self._sum()
            self._expect("|")
            return _fenced("|", inside, "|")
        raise _NotAFormulaError

    def _postfix(self, name: str) -> str:
        """A name with its arguments and places, which follow it without a space."""
        if name == "sqrt" and self._text(0) == "(":
            self.place += 1
            return f"<msqrt>{self._inside('(')}</msqrt>"
        shown = _name(name)
        while (mark := self._text(0)) in ("(", "["):
            self.place += 1
            shown += _fenced(mark, self._inside(mark), CLOSING[mark])
        return self._indexed(shown)

    def _indexed(self, base: str) -> str:
        if self._text(0) != "_":
            return base
        self.place += 1
        return f"<msub><mrow>{base}</mrow><mrow>{self._atom(as_group=True)}</mrow></msub>"

    def _inside(self, opening: str) -> str:
        inside = self._list()
        self._expect(CLOSING[opening])
        return inside

    def _expect(self, mark: str) -> None:
        if self._next() != mark:
            raise _NotAFormulaError
        self.place += 1

    def _next(self) -> str | None:
        """The next token that is not a space, which it goes to."""
        while self._kind(0) == "space":
            self.place += 1
        return self.tokens[self.place][1] if self.place < len(self.tokens) else None

    def _take(self) -> str:
        self.place += 1
        return self.tokens[self.place - 1][1]

    def _kind(self, ahead: int) -> str:
        place = self.place + ahead
        return self.tokens[place][0] if place < len(self.tokens) else ""

    def _text(self, ahead: int) -> str:
        place = self.place + ahead
        return self.tokens[place][1] if place < len(self.tokens) else ""


def _name(name: str) -> str:
    """A name, whose last parts are indices if they are a letter or a number."""
    parts = name.split("_")
    indices: list[str] = []
    while len(parts) > 1 and (len(parts[-1]) == 1 or parts[-1].isdigit()):
        indices.insert(0, parts.pop())
    base = "_".join(parts)
    # Such as x_2i+1, where it cannot be seen how far the index goes.
    if any(part[0].isdigit() for part in parts):
        raise _NotAFormulaError
    variant = "" if len(base) == 1 else ' mathvariant="normal"'
    shown = f"<mi{variant}>{GREEK.get(base, escape(base))}</mi>"
    if not indices:
        return shown
    if base == "sum":
        return f"<munder><mo>∑</mo><mi>{indices[0]}</mi></munder>"
    below = "<mo>,</mo>".join(
        f"<mn>{index}</mn>" if index.isdigit() else f"<mi>{index}</mi>" for index in indices
    )
    return f"<msub>{shown}<mrow>{below}</mrow></msub>"


def _fenced(opening: str, inside: str, closing: str) -> str:
    return f"<mrow><mo>{opening}</mo>{inside}<mo>{closing}</mo></mrow>"


def _bare(text: str) -> str:
    """Leaves out parentheses around the whole of what is above a bar."""
    found = re.fullmatch(r"<mrow><mo>\(</mo>(.*)<mo>\)</mo></mrow>", text)
    return found[1] if found and "<mo>)</mo></mrow>" not in found[1] else text
