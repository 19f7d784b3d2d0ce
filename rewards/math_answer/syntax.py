r"""The syntax tree of an answer: lists, relations, sets, intervals, matrices, and the grammar as a whole.

A recursive descent in three classes, each a part of the grammar: `expressions` (arithmetic), `commands` (words and
LaTeX commands) and the one here. A tree says what is written, not what it is worth: nothing is evaluated or simplified.
Text that is not mathematics raises `NotMathError`. Nesting is capped, so the recursion is bounded.
"""

from fractions import Fraction

from rewards.math_answer.commands import Commands
from rewards.math_answer.evaluate import symbols
from rewards.math_answer.heads import EQUAL_SIGNS, head, lead
from rewards.math_answer.nodes import MATRICES, RELATIONS, TRANSPARENT, Node, NotMathError, is_prose
from rewards.math_answer.numbers import TooBigError, written
from rewards.math_answer.numerals import clock_time, in_base
from rewards.math_answer.tokens import Token


def parse(tokens: list[Token]) -> Node:
    """The tree of an answer.

    Raises:
        NotMathError: The tokens are a text, or notation that is not known here.
        TooBigError: Nested too deep, or a number beyond the caps.
    """
    try:
        return _Parser(list(tokens)).answer()
    except RecursionError as error:
        raise TooBigError from error


class _Parser(Commands):
    """The rules for everything that is more than one value, and for what stands between brackets."""

    def answer(self) -> Node:
        """The whole input as one node; a list when it has several items."""
        items, signs = self.items()
        if self.peek().kind != "eof":
            raise NotMathError(f"unexpected {self.peek().text!r}")
        return items[0] if len(items) == 1 else Node("list", tuple(items), tuple(signs))

    def items(self) -> tuple[list[Node], list[str]]:
        """Relations separated by ``,`` ``;`` and, or; and the separators, of which "," stands in front of "and"."""
        items, signs = [self.relation()], list[str]()
        while True:
            sign = ""
            while (token := self.peek()).text in (",", ";") or token.kind == "sep":
                sign = token.text if token.kind == "sep" or not sign else sign
                self.pos += 1
            if not sign or self.peek().text in ("&", r"\\") or self.peek().kind == "end":
                return items, signs
            signs.append(sign)
            items.append(self.relation())

    def relation(self) -> Node:
        """Expressions with ``=``, ``<`` and the like between them; one expression is left as it is."""
        lead(self)
        name = (head(self) or self.text_name()) if not self.texts.isdisjoint(EQUAL_SIGNS) else None
        signs: list[str] = []
        sides = [name if name is not None else self.over()]
        while self.peek().text in RELATIONS and self.peek().kind != "text":
            sign = self.take().text
            sides.append(self.over())
            if sign != r"\approx":
                signs.append("=" if sign == r"\equiv" else sign)
            elif not signs and (sides[0].op == "name" or symbols(sides[0])):
                # Of x \approx 3.14 the decimal is the answer; x \approx 3 does not say what x is.
                signs.append("=" if isinstance(sides[1].value, Fraction) and sides[1].value.denominator > 1 else sign)
            else:
                sides[-2:] = [Node("alts", tuple(sides[-2:]))]
        if not signs:
            return sides[0]
        return Node("rel", tuple(sides), tuple(signs))

    def over(self) -> Node:
        r"""One expression, or what stands in front of and behind ``\over`` or ``\choose``."""
        left = self.union()
        if self.peek().text not in (r"\over", r"\choose"):
            return left
        if self.accept(r"\over"):
            return Node("mul", (left, Node("inv", (self.union(),))), "frac")
        self.pos += 1
        return Node("binom", (left, self.union()))

    def text_name(self) -> Node | None:
        r"""A left side in words (``\text{Area} = ``), if the next tokens are one."""
        ahead = 0
        while (token := self.peek(ahead)).kind == "text" or (token.kind == "word" and is_prose(token.text)):
            ahead += 1
        if not ahead or self.peek(ahead).text != "=":
            return None
        words = " ".join(token.text for token in self.tokens[self.pos : self.pos + ahead])
        self.pos += ahead
        return Node("name", (), words)

    def union(self) -> Node:
        """Sets joined by union, intersection or difference, from left to right; or one expression."""
        left = self.ratio()
        while (token := self.peek()).text in (r"\cup", r"\cap", r"\setminus"):
            self.pos += 1
            left = Node(token.text[1:], (left, self.ratio()))
        return left

    def ratio(self) -> Node:
        """``3:2``, a time of day, or one sum."""
        clock = clock_time(self) if ":" in self.texts else None
        if clock is not None:
            return clock
        parts = [self.sum()]
        while self.peek().text == ":" and self.in_abs == 0:
            self.pos += 1
            parts.append(self.sum())
        return parts[0] if len(parts) == 1 else Node("ratio", tuple(parts))

    def delimited(self, token: Token) -> Node:
        """What an opening bracket or environment that was taken encloses."""
        opening = token.text
        if token.kind == "begin":
            return self.environment(opening)
        if opening in ("(", "[", "]"):
            return self.bracket(opening)
        if opening == r"\{":
            return self.braces()
        if opening == r"\langle":
            return Node("bracket", tuple(self.nested(r"\rangle")), "()")
        if opening == "{":
            group = self.nested("}")
            return group[0] if len(group) == 1 else Node("list", tuple(group), (",",) * (len(group) - 1))
        name, closing = ("floor", r"\rfloor") if opening == r"\lfloor" else ("ceil", r"\rceil")
        rounded = self.nested(closing)
        if len(rounded) != 1:
            raise NotMathError("several items in a floor")
        return Node("fn", (rounded[0],), name)

    def nested(self, close: str) -> list[Node]:
        """The items up to ``close``."""
        self.enter()
        in_abs, self.in_abs = self.in_abs, 0
        items, _ = self.items()
        self.in_abs = in_abs
        self.expect(close)
        self.depth -= 1
        return items

    def bracket(self, opening: str) -> Node:
        """A group, a tuple, an interval, a number with its base, or a matrix that has brackets of its own.

        Brackets turned outward are open ends: ``]0, 1[``.
        """
        self.enter()
        in_abs, self.in_abs = self.in_abs, 0
        if self.accept(")", "]"):
            raise NotMathError("empty brackets")
        items, _ = self.items()
        self.in_abs = in_abs
        closing = self.take().text
        self.depth -= 1
        if closing == "[" and opening != "(" and len(items) == 2:
            closing = ")"
        if closing not in (")", "]"):
            raise NotMathError("a bracket that is not closed")
        if opening == "]":
            if len(items) != 2:
                raise NotMathError("a bracket turned outward around something else than an interval")
            opening = "("
        if len(items) == 1 and (opening, closing) == ("(", ")"):
            inner = items[0].value
            if isinstance(inner, Fraction) and self.peek().text == "_":
                return in_base(self, written(inner))
            if items[0].op == "sym" and r"\circ" in str(inner) and self.peek().text == "(":
                return Node("call", (self.delimited(self.take()),), inner)  # (f \circ g)(2)
            return items[0]
        if len(items) == 1 and items[0].op == "matrix":
            return items[0]
        return Node("bracket", tuple(items), opening + closing)

    def braces(self) -> Node:
        r"""A set: ``\{1, 2\}``, ``\{x \mid x > 3\}`` or ``\{\}``."""
        if self.accept(r"\}"):
            return Node("empty")
        self.enter()
        in_abs, self.in_abs = self.in_abs, 1  # so that | and : end an item
        items, _ = self.items()
        if self.accept("|", ":"):
            self.in_abs = 0
            conditions, signs = self.items()
            self.in_abs = in_abs
            self.expect(r"\}")
            self.depth -= 1
            if len(items) != 1:
                raise NotMathError("a set of several variables")
            return builder(items[0], conditions, signs)
        self.in_abs = in_abs
        self.expect(r"\}")
        self.depth -= 1
        return Node("set", tuple(items))

    def environment(self, name: str) -> Node:
        r"""A matrix, or the formula in an environment that only lays it out, such as ``aligned``."""
        if name in MATRICES:
            return self.matrix()
        if name not in TRANSPARENT and name not in ("cases", "dcases"):
            raise NotMathError(f"the environment {name}")
        self.enter()
        if name in TRANSPARENT:
            self.drop_columns()
        rows = [self.cells()]
        while self.accept(r"\\"):
            if self.peek().kind != "end":
                rows.append(self.cells())
        token = self.take()
        if (token.kind, token.text) != ("end", name):
            raise NotMathError(f"{name} is not closed")
        self.depth -= 1
        if all(len(row) == 2 for row in rows) and name not in TRANSPARENT:
            return Node("cases", tuple(Node("bracket", tuple(row), "()") for row in rows))
        items = [item for row in rows for item in row]
        return items[0] if len(items) == 1 else Node("list", tuple(items), (",",) * (len(items) - 1))

    def drop_columns(self) -> None:
        """Take out the ``&`` up to the end of the environment: they only say what stands below what."""
        end = next((at for at in range(self.pos, len(self.tokens)) if self.tokens[at].kind == "end"), self.pos)
        self.tokens[self.pos : end] = [token for token in self.tokens[self.pos : end] if token.text != "&"]

    def cells(self) -> list[Node]:
        """What a row of cases or of an equation system holds: a value and its condition, or relations."""
        cells = []
        while True:
            items, signs = self.items()
            cells.append(items[0] if len(items) == 1 else Node("list", tuple(items), tuple(signs)))
            if not self.accept("&"):
                return cells
            while self.peek().text.lower() in ("if", "for", "when", "where", "as") and self.peek(1).kind != "end":
                self.pos += 1
            if self.peek().text.lower() in ("otherwise", "else"):
                self.pos += 1 + (self.peek(1).text in (".", ","))
                return [*cells, Node("name", (), "otherwise")]

    def matrix(self) -> Node:
        r"""Rows of sums with ``&`` and ``\\`` between them, up to the end of any environment."""
        self.enter()
        rows: list[list[Node]] = [[]]
        while True:
            rows[-1].append(self.sum())
            token = self.take()
            if token.text == r"\\":
                while self.accept(r"\\"):
                    pass
                if self.peek().kind == "end":
                    token = self.take()
                else:
                    rows.append([])
                    continue
            if token.kind == "end":
                break
            if token.text != "&":
                raise NotMathError("a matrix that is not closed")
        self.depth -= 1
        if len({len(row) for row in rows}) != 1:
            raise NotMathError("rows of different length")
        return Node("matrix", tuple(cell for row in rows for cell in row), (len(rows), len(rows[0])))


def builder(item: Node, conditions: list[Node], signs: list[str]) -> Node:
    r"""``\{item : conditions\}``; of ``\{x : x = 3k, k \in \mathbb{Z}\}``, ``\{3k : k \in \mathbb{Z}\}``."""
    first = conditions[0]
    if len(conditions) > 1 and first.op == "rel" and first.value == ("=",) and first.args[0] == item:
        item, conditions, signs = first.args[1], conditions[1:], signs[1:]
    condition = conditions[0] if len(conditions) == 1 else Node("list", tuple(conditions), tuple(signs))
    return Node("builder", (item, condition))
