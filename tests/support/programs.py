"""Programs drawn from the grammar of the language, laid out in every legal way, with comments in every legal place.

A piece is a token's text or a gap: IN_BRACKETS (line ends and comments are free), IN_LINE (blanks only; line ends would
end a statement or, before a named argument, the bracket), BETWEEN (what parts two statements), AROUND (what may stand
before the first statement of a block and behind its last).
"""

from typing import Any

from hypothesis import strategies as st

IN_BRACKETS, IN_LINE, BETWEEN, AROUND = (f"\0{name}" for name in ("brackets", "line", "between", "around"))
Pieces = tuple[str, ...]

NAMES = st.sampled_from(["a", "bc", "width", "r", "f", "re", "x_1", "model", "if_", "long_name_of_it", "over", "zip"])
NUMBERS = ["0", "1_000", "0x1F", "1.50", "1e-3", "2.5E+4", "8Ki", "70GiB", "2h", "1.5B"]
WORDS = ["true", "false", "none", "unset"]
STRINGS = [
    '""',
    '"t\\t\\"q"',
    '"é # no"',
    'r"a\\d"',
    're"(?<n>[^#\\n]+)"',
    'f"{a.b:.1e} {{x}} {c + 1}"',
    f'"{"w" * 60}"',
]
LONG = ['"""one # line"""', '"""\n    two\n  lines  \n    """', 'r"""\n a\\\n\n"""', 'f"""{a}\n{b}"""']
ATOMS = st.sampled_from([*NUMBERS, *WORDS, *STRINGS, *LONG])
OPERATORS = st.sampled_from(
    ["or", "and", "==", "!=", "<=", ">=", "<", ">", "in", "not in", "+", "-", "*", "//", "/", "%", "**"]
)


def joined(*parts: str | Pieces, gap: str) -> Pieces:
    """Parts in order with a gap between each two."""
    pieces: list[str] = []
    for part in parts:
        pieces += [gap] if pieces else []
        pieces += [part] if isinstance(part, str) else part
    return tuple(pieces)


def bracketed(opening: str, parts: list[Pieces], closing: str, *, comma: bool = False) -> Pieces:
    """Parts with commas between them in brackets, and one behind the last if `comma`."""
    inner: list[str | Pieces] = []
    for part in parts:
        inner += [part, ","]
    if inner and not comma:
        inner.pop()
    return joined(opening, *inner, closing, gap=IN_BRACKETS)


def in_line(pieces: Pieces) -> Pieces:
    """An expression outside brackets: only gaps that lie within brackets of its own may hold line ends."""
    depth, found = 0, []
    for piece in pieces:
        depth += (piece in ("(", "[", "{")) - (piece in (")", "]", "}"))
        found.append(IN_LINE if piece == IN_BRACKETS and depth == 0 else piece)
    return tuple(found)


def within(items: list[Pieces]) -> Pieces:
    """Statements in braces."""
    inner: list[str] = ["{", AROUND]
    for number, item in enumerate(items):
        inner += [BETWEEN] if number else []
        inner += item
    return (*inner, AROUND, "}")


def path(names: list[str]) -> Pieces:
    """`a.b.c` as the left side of an assignment, or a reference outside brackets."""
    return joined(*[piece for name in names for piece in (name, ".")][:-1], gap=IN_LINE)


def _call(name: str, args: list[Pieces], named: Pieces | None, comma: bool) -> Pieces:
    call = joined(name, bracketed("(", args, ")", comma=comma and bool(args)), gap=IN_BRACKETS)
    if named is None:
        return call
    # A line that begins with `x =` would end the call.
    before = call[:-2] if not args else (*call[: -2 - 2 * comma], IN_BRACKETS, ",")
    return (*before, IN_LINE, "x", IN_LINE, "=", IN_BRACKETS, *named, IN_BRACKETS, ")")


def _loose(inner: st.SearchStrategy[Pieces]) -> st.SearchStrategy[Pieces]:
    """Operands and signs in a row, without parentheses."""
    signs = st.sampled_from(["", "", "", "-", "+"])
    more = st.lists(st.tuples(st.sampled_from(["or", "and", "+", "-", "*", "//", "**"]), signs, inner), max_size=2)
    return st.tuples(signs, inner, more).map(
        lambda t: _spread(*[part for part in (t[0], t[1], *(p for three in t[2] for p in three)) if part])
    )


def _expressions(inner: st.SearchStrategy[Pieces]) -> st.SearchStrategy[Pieces]:
    several = st.lists(_loose(inner), max_size=4)
    refs = st.lists(NAMES, min_size=1, max_size=3).map(path)
    return st.one_of(
        st.tuples(inner, OPERATORS, inner).map(lambda t: _group(t[0], *t[1].split(), t[2])),
        st.tuples(st.sampled_from(["-", "+", "not"]), inner).map(lambda t: _group(*t)),
        st.tuples(inner, inner, inner).map(lambda t: _group(t[0], "if", t[1], "else", t[2])),
        st.tuples(several, st.booleans()).map(lambda t: bracketed("[", t[0], "]", comma=t[1] and bool(t[0]))),
        st.tuples(inner, NAMES, inner).map(lambda t: bracketed("[", [_spread(t[0], "for", t[1], "in", t[2])], "]")),
        st.tuples(NAMES, several, st.none() | inner, st.booleans()).map(lambda t: _call(*t)),
        st.tuples(NAMES, inner, NAMES).map(lambda t: _spread(t[0], "[", t[1], "]", ".", t[2])),
        _loose(inner).map(_group),
        st.tuples(refs, st.lists(_assigns(inner), max_size=3)).map(lambda t: (*t[0], IN_LINE, *within(t[1]))),
    )


def _spread(*parts: str | Pieces) -> Pieces:
    return joined(*parts, gap=IN_BRACKETS)


def _group(*parts: str | Pieces) -> Pieces:
    return _spread("(", *parts, ")")


def _assigns(expr: st.SearchStrategy[Pieces]) -> st.SearchStrategy[Pieces]:
    paths = st.lists(NAMES, min_size=1, max_size=3).map(path) | st.just(('"quoted key"',))
    return st.tuples(paths, st.sampled_from(["=", "+="]), expr).map(
        lambda t: joined(t[0], t[1], in_line(t[2]), gap=IN_LINE)
    )


EXPRESSIONS = st.recursive(
    ATOMS.map(lambda text: (text,)) | st.lists(NAMES, min_size=1, max_size=3).map(path), _expressions, max_leaves=6
)
SIMPLE = st.one_of(
    _assigns(EXPRESSIONS),
    _assigns(_loose(EXPRESSIONS)),
    st.tuples(NAMES, EXPRESSIONS).map(lambda t: joined("let", t[0], "=", in_line(t[1]), gap=IN_LINE)),
    st.tuples(EXPRESSIONS, st.none() | st.just('"why"')).map(
        lambda t: joined("assert", in_line(t[0]), *([":", t[1]] if t[1] else []), gap=IN_LINE)
    ),
)


def _blocks(inner: st.SearchStrategy[Pieces]) -> st.SearchStrategy[Pieces]:
    heads = st.tuples(
        NAMES, st.none() | NAMES | st.just('"a name"'), st.none() | st.lists(NAMES, min_size=1, max_size=2)
    )
    return st.tuples(heads, st.lists(inner, max_size=4)).map(
        lambda t: joined(
            t[0][0],
            *([t[0][1]] if t[0][1] else []),
            *([":", path(t[0][2])] if t[0][2] else []),
            within(t[1]),
            gap=IN_LINE,
        )
    )


STATEMENTS = st.recursive(SIMPLE, _blocks, max_leaves=6)
IMPORTS = st.just(joined("import", '"b.lmspec"', "as", "b", gap=IN_LINE))

COMMENTS = ["#", "# one", "#two  ", "# a = [ { ( \" '", "# é\x0c\r\u2028"]
LINE_END = st.sampled_from(["\n", "\n\n", "\n\n\n  ", "\r\n", *[f"  {text}\n" for text in COMMENTS], "#\n\n# two\n\n"])
BLANKS = st.sampled_from(["", " ", "", " ", "\t", "   "])
# Lines of a block begin with a blank: what looks like a top-level block in column 1 would close it.
SEPARATORS = st.one_of(
    LINE_END.map(lambda text: f"{text} "), st.sampled_from([", ", ",", ",, "]), LINE_END.map(lambda text: f",{text} ")
)
GAPS = {
    IN_LINE: BLANKS,
    IN_BRACKETS: BLANKS | BLANKS | LINE_END.map(lambda text: f"{text} "),
    BETWEEN: SEPARATORS,
    AROUND: BLANKS | SEPARATORS,
}


@st.composite
def programs(draw: Any) -> str:
    """The text of a program without syntax errors."""
    items = draw(st.lists(STATEMENTS | IMPORTS, max_size=4))
    text = ""
    for piece in (*within(items)[1:-1],):
        text += _written(draw, text, piece)
    return text + draw(st.sampled_from(["", "\n", "# at the end", "\n\n\n", "\n  # at the end \n"]))


def _written(draw: Any, before: str, piece: str) -> str:
    if piece in GAPS:
        return str(draw(GAPS[piece]))
    word = before[-1:].isalnum() or before[-1:] in ("_", '"')
    return f" {piece}" if word and (piece[0].isalnum() or piece[0] in ("_", '"')) else piece
