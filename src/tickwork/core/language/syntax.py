"""The grammar of expressions: a text becomes a small tree, or a complaint with its place.

    choice      = or, [ "if", or, "else", choice ]
    or          = and, { ("or" | "||"), and }          and = not, { ("and" | "&&"), not }
    not         = ("not" | "!"), not | comparison
    comparison  = sum, { ("==" | "!=" | "<" | "<=" | ">" | ">=" | "is" | "is not" | "in" | "not in"), sum }
    sum         = product, { ("+" | "-"), product }    product = sign, { ("*" | "/" | "//" | "%"), sign }
    sign        = "-", sign | operand, { ".", word | "[", choice, "]" }
    operand     = number | text | word | word, "(", items, ")" | "{{", path, "}}" | "(", choice, ")"
                | ("(" | "["), items, (")" | "]")

It reads as Python does, and nothing else of Python can be said in it. A parser of our own, because every node knows
its index in the text as it was written, and every complaint is about that text.
"""

from __future__ import annotations

import keyword
import re
from typing import Final, NamedTuple, NoReturn

from tickwork.core.language.tree import Binary, Call, Choice, Comparison, Constant, Items, Logic, Name, Node, Part, Sign
from tickwork.errors import InvalidExpression

MAX_TEXT: Final = 2_000
"""Characters of an expression."""
MAX_NODES: Final = 200
"""Operands and operators of an expression."""
MAX_DEPTH: Final = 32
"""Brackets, signs and negations within each other; lists and mappings of a template within each other."""
MAX_LITERAL: Final = 500
"""Characters of a text between quotes."""
MAX_BITS: Final = 1_024
"""Size of a whole number: every float still has a whole part."""

ALLOWED: Final = (
    "paths, `{{references}}`, comparisons, `+ - * / // %`, `and or not in`, numbers, texts, lists and calls of known "
    "functions"
)
"""What an expression is made of, for complaints."""

CHARACTERS: Final = "whole characters: half of a pair of surrogates (\\ud800 to \\udfff) is none"
"""What texts are made of, for complaints."""

CONSTANTS: Final = {"true": True, "false": False, "null": None, "none": None}


class Token(NamedTuple):
    """A piece of the text. Its kind is the name of a group of the pattern."""

    kind: str
    text: str
    position: int


_TOKEN = re.compile(
    r"""\s*(?:
    (?P<reference>\{\{.*?\}\})
  | (?P<number>(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?)
  | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<word>[^\W\d]\w*)
  | (?P<sign>===|!==|\*\*|//|&&|\|\||==|!=|<=|>=|<>|<<|>>|:=|[-+*/%<>!()\[\],.])
  | (?P<wrong>\S)
  | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
_IN, _IS_NOT = re.compile(r"\s*in\b"), re.compile(r"\s*not\b")
_OPERATORS: Final = {"&&": "and", "||": "or"}
_COMPARISONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "in", "is", "not in", "is not"})
_STRENGTH: Final = {
    "or": 1, "and": 2, **dict.fromkeys(_COMPARISONS, 4), "+": 5, "-": 5, "*": 6, "/": 6, "//": 6, "%": 6,
}  # fmt: skip
_NOT, _MINUS = 3, 7
_SPELLED: Final = {
    "**": "`*`: there are no powers",
    "<>": "`!=` (`<>` is not known)",
    "===": "`==` (`===` is not known)",
    "!==": "`!=` (`!==` is not known)",
    "=": "`==` to compare (`=` would assign)",
    ":=": "`==` to compare (`:=` would assign)",
    "&": "`and` or `&&`: there is no arithmetic of bits",
    "|": "`or` or `||`: there is no arithmetic of bits",
    "^": "`*`: there are neither powers nor an arithmetic of bits",
    "~": "`not`: there is no arithmetic of bits",
    "<<": "`<`: there is no arithmetic of bits",
    ">>": "`>`: there is no arithmetic of bits",
    "{": "`{{name.field}}` or a path: there are no mappings and sets",
    "}": "nothing: no `{{` stands before this `}`",
    ":": "no `:`: there are no slices, lambdas and mappings",
    ";": "one expression: `;` separates nothing",
    "@": "no `@`: there are no decorators",
    "?": "`a if b else c`: there is no `?`",
    "#": "no `#`: there are no comments",
    "`": "a text in single or double quotes",
}
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "/": "/"}
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_FIRST = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_-]*)")
_FURTHER = re.compile(r"""\.([^\W\d]\w*)|\[\s*(-?[0-9]{1,9}|"[^"\\]*"|'[^'\\]*')\s*\]""")


def parse(text: str, kind: str) -> Node:
    """Read an expression.

    Args:
        kind: what the text is called in complaints.

    Raises:
        InvalidExpression: with the place.
    """
    if len(text) > MAX_TEXT:
        raise InvalidExpression(kind, text[: MAX_TEXT + 40], f"at most {MAX_TEXT:,} characters", MAX_TEXT)
    check_characters(text, kind)
    return _Parser(text, kind).whole()


def check_characters(text: str, kind: str) -> None:
    """Refuse a text that nothing could keep, because it is no Unicode.

    Raises:
        InvalidExpression: it holds half of a pair of surrogates, with the place.
    """
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        # the rest is left out: the complaint itself must be something that can be kept
        raise InvalidExpression(kind, text[: error.start], CHARACTERS, error.start) from None


def reference(text: str, begin: int, end: int, kind: str) -> Node:
    """Read the path between ``{{`` and ``}}``, that is ``text[begin:end]``.

    Raises:
        InvalidExpression: it is not a path of names, fields and constant indexes.
    """
    first = _FIRST.match(text, begin, end)
    if first is None:
        raise InvalidExpression(kind, text, "a path such as {{step-1.price}} or {{fetch.levels[0].price}}", begin)
    node: Node = Name(first.start(1), first[1])
    at = first.end()
    count = 1
    while part := _FURTHER.match(text, at, end):
        count += 1
        if count > MAX_DEPTH:
            raise InvalidExpression(kind, text, f"at most {MAX_DEPTH} parts in a path", at)
        if part[1] is not None:
            check_field(part[1], text, part.start(1), kind)
            node = Part(at, node, Constant(part.start(1), part[1]))
        else:
            index = part[2][1:-1] if part[2][0] in "'\"" else int(part[2])
            node = Part(at, node, Constant(part.start(2), index))
        at = part.end()
    rest = text[at:end]
    if rest.strip():
        at += len(rest) - len(rest.lstrip())
        raise InvalidExpression(kind, text, "`.field`, `[0]`, `['key']` or `}}`: a reference is a path", at)
    return node


def check_field(name: str, text: str, position: int, kind: str) -> None:
    """Refuse a field that no path may name.

    Raises:
        InvalidExpression: it begins with an underscore.
    """
    if name.startswith("_"):
        raise InvalidExpression(kind, text, "a field that does not begin with `_`: those are private", position)


class _Parser:
    """Precedence climbing over the tokens of one text."""

    def __init__(self, text: str, kind: str) -> None:
        self.text = text
        self.kind = kind
        self.nodes = 0
        self.depth = 0
        self.end = 0
        self.after = 0
        self.token = self._read()

    # -- tokens

    def _read(self) -> Token:
        match = _TOKEN.match(self.text, self.after)
        assert match is not None
        assert match.lastgroup is not None
        self.after = match.end()
        return Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup))

    def next(self) -> Token:
        """Take the token."""
        taken = self.token
        self.end = self.after
        self.token = self._read()
        return taken

    def take(self, sign: str) -> bool:
        """Take the token if it is this sign."""
        if self.token.kind == "sign" and self.token.text == sign:
            self.next()
            return True
        return False

    def refuse(self, expected: str, position: int | None = None) -> NoReturn:
        """Complain about a place; by default, where the token stands."""
        at = self.token.position if position is None else position
        raise InvalidExpression(self.kind, self.text, expected, at)

    def count(self, position: int) -> None:
        """Another part."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.refuse(f"at most {MAX_NODES} operands and operators", position)

    # -- grammar

    def whole(self) -> Node:
        """The expression that the text is."""
        node = self.choice()
        if self.token.kind != "end":
            self.unexpected("an operator or the end")
        return node

    def unexpected(self, expected: str) -> NoReturn:
        """Complain about a token that cannot stand where it stands."""
        token = self.token
        if token.kind == "end":
            self.refuse(expected + ", not the end of the text")
        if token.text in ("'", '"'):
            self.refuse(f"a closing {token.text} for the text that begins here")
        if self.text.startswith("{{", token.position) and token.kind == "wrong":
            self.refuse("`}}` to close the reference that begins here")
        if token.text in _SPELLED:
            self.refuse(_SPELLED[token.text])
        if token.text in (")", "]"):
            self.refuse(f"{expected}: no bracket is open for this `{token.text}`")
        if token.kind == "word" and keyword.iskeyword(token.text):
            self.refuse(f"{expected}: `{token.text}` is not known here; there are {ALLOWED}")
        self.refuse(f"{expected}, not `{token.text[:20]}`")

    def choice(self) -> Node:
        """``a if b else c`` or less."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.refuse(f"at most {MAX_DEPTH} levels within each other")
        node = self.binary(0)
        if self.token.kind == "word" and self.token.text == "if":
            position = self.next().position
            test = self.binary(0)
            if not (self.token.kind == "word" and self.token.text == "else"):
                self.unexpected("`else`: a choice is written `a if b else c`")
            self.next()
            node = Choice(position, test, node, self.choice())
            self.count(position)
        self.depth -= 1
        return node

    def operator(self) -> str:
        """The operator that the token begins; nothing if it begins none."""
        kind, text, _ = self.token
        if kind == "sign":
            return _OPERATORS.get(text, text)
        if kind != "word":
            return ""
        if text == "not":
            return "not in" if _IN.match(self.text, self.after) else ""
        if text == "is":
            return "is not" if _IS_NOT.match(self.text, self.after) else "is"
        return text if text in ("and", "or", "in") else ""

    def binary(self, least: int) -> Node:
        """Operators at least as strong as ``least``, and what is between them."""
        left = self.unary(least)
        while (sign := self.operator()) and (strength := _STRENGTH.get(sign, 0)) and strength >= least:
            position = self.token.position
            if sign in _COMPARISONS:
                left = self.comparison(left)
            elif sign in ("and", "or"):
                parts = [left]
                while self.operator() == sign:
                    self.count(self.next().position)
                    parts.append(self.binary(strength + 1))
                left = Logic(position, sign, tuple(parts))
            else:
                self.count(self.next().position)
                left = Binary(position, sign, left, self.binary(strength + 1))
        return left

    def comparison(self, first: Node) -> Node:
        """A chain of them: ``1 < a <= 2``."""
        position = self.token.position
        rest = []
        while (sign := self.operator()) in _COMPARISONS:
            self.count(self.token.position)
            for _ in sign.split():
                self.next()
            rest.append((sign, self.binary(_STRENGTH[sign] + 1)))
        return Comparison(position, first, tuple(rest))

    def unary(self, least: int) -> Node:
        """A sign before an operand, or the operand."""
        token = self.token
        negation = token.text in ("not", "!") and token.kind in ("word", "sign")
        if not negation and not (token.kind == "sign" and token.text == "-"):
            return self.further(self.operand())
        if negation and least > _NOT:
            self.refuse(f"parentheses around `{token.text} ...` after an operator")
        self.count(token.position)
        self.next()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.refuse(f"at most {MAX_DEPTH} levels within each other", token.position)
        strength = _NOT if negation else _MINUS
        node = Sign(token.position, "not" if negation else "-", self.binary(strength))
        self.depth -= 1
        return node

    def further(self, node: Node) -> Node:
        """Fields and items of an operand."""
        while True:
            position = self.token.position
            if self.take("."):
                if self.token.kind != "word":
                    self.unexpected("the name of a field after `.`")
                name = self.token.text
                check_field(name, self.text, self.token.position, self.kind)
                node = Part(position, node, Constant(self.next().position, name))
            elif self.take("["):
                if self.token.text == "]":
                    self.refuse("an index between the brackets")
                node = Part(position, node, self.choice())
                self.close("]", position)
            elif self.token.kind == "sign" and self.token.text == "(":
                self.refuse("no call: only functions are called, by their name; there are no methods")
            else:
                return node
            self.count(position)

    def operand(self) -> Node:
        """A literal, a path's first name, a call, a reference, or brackets."""
        token = self.token
        self.count(token.position)
        if token.kind == "number":
            return self.number()
        if token.kind == "text":
            return self.quoted()
        if token.kind == "word":
            return self.word()
        if token.kind == "reference":
            self.next()
            return reference(self.text, token.position + 2, self.end - 2, self.kind)
        if self.take("("):
            return self.brackets(token.position, ")")
        if not self.take("["):
            self.unexpected("an operand")
        return self.brackets(token.position, "]")

    def word(self) -> Node:
        """A constant, a name, or a call."""
        token = self.token
        if token.text.lower() in CONSTANTS:
            self.next()
            return Constant(token.position, CONSTANTS[token.text.lower()])
        if keyword.iskeyword(token.text):
            self.unexpected("an operand")
        if token.text.startswith("__"):
            self.refuse(f"a name that does not begin with `__`; there are {ALLOWED}")
        self.next()
        if self.token.text[:1] in ("'", '"') and self.token.position == self.end:
            self.refuse("no letters before a quote: there are only plain texts", token.position)
        position = self.token.position
        if self.take("("):
            items, _ = self.items(")", position)
            return Call(token.position, token.text, items)
        return Name(token.position, token.text)

    def brackets(self, position: int, closing: str) -> Node:
        """A list, or an expression in parentheses."""
        items, comma = self.items(closing, position)
        if closing == ")" and len(items) == 1 and not comma:
            return items[0]
        return Items(position, items)

    def items(self, closing: str, opened: int) -> tuple[tuple[Node, ...], bool]:
        """What is between brackets, and whether a comma was."""
        found: list[Node] = []
        comma = False
        while self.token.text != closing or self.token.kind != "sign":
            if self.token.kind == "sign" and self.token.text in ("*", "**"):
                self.refuse("a value: there are no starred arguments and powers")
            found.append(self.choice())
            if not self.take(","):
                break
            comma = True
        self.close(closing, opened)
        return tuple(found), comma

    def close(self, closing: str, opened: int) -> None:
        """Take the closing bracket."""
        if self.take(closing):
            return
        if self.token.kind == "end":
            self.refuse(f"a closing `{closing}` for the bracket that opens here", opened)
        if self.token.text in (")", "]"):
            self.refuse(f"`{closing}` to close the bracket, not `{self.token.text}`")
        self.unexpected(f"an operator or `{closing}`")

    def number(self) -> Node:
        """A whole number or a float."""
        token = self.next()
        following = self.token
        if following.kind in ("word", "number") and following.position == self.end:
            self.refuse("a decimal number such as 10, 0.01 or 1e-6", token.position)
        try:
            value: int | float = int(token.text) if re.fullmatch("[0-9_]+", token.text) else float(token.text)
        except ValueError:
            self.refuse("a decimal number such as 10, 0.01 or 1e-6", token.position)
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            self.refuse(f"a whole number of at most {MAX_BITS:,} bits", token.position)
        if value == float("inf"):
            self.refuse("a number that is not infinite", token.position)
        return Constant(token.position, value)

    def quoted(self) -> Node:
        """A text between quotes."""
        token = self.next()
        inner, begin = token.text[1:-1], token.position + 1
        if len(inner) > MAX_LITERAL:
            self.refuse(f"at most {MAX_LITERAL} characters between quotes", token.position)
        if written := re.search(r"\{\{.*?\}\}", inner):
            # it would be compared as it is written, and no condition would ever hold
            self.refuse("the reference without quotes around it", begin + written.start())
        if self.token.kind == "text":
            self.refuse("an operator between two texts")

        def meant(escape: re.Match[str]) -> str:
            if escape[1] is not None:
                return chr(int(escape[1], 16))
            if escape[2] not in _ESCAPES:
                self.refuse("`\\\\` or an escape of \\n \\t \\r \\' \\\" \\u0041", begin + escape.start())
            return _ESCAPES[escape[2]]

        value = _ESCAPE.sub(meant, inner)
        if not value.isascii():
            try:
                value = value.encode("utf-16", "surrogatepass").decode("utf-16")  # two escapes may be one character
            except UnicodeDecodeError:
                self.refuse(CHARACTERS, token.position)
        return Constant(token.position, value)
