"""The arithmetic of the grammar: sums, products, signs, powers and what is written behind a value.

Sums and products become one node each with all their terms or factors. What a sum is made of in the end, words, LaTeX
commands and anything between brackets, is left to the subclasses in `commands` and `syntax`.
"""

from fractions import Fraction

from rewards.math_answer.cursor import Cursor
from rewards.math_answer.nodes import CURRENCY, FUNCTIONS, RELATIONS, Node, NotMathError, is_prose
from rewards.math_answer.numerals import mixed_number, number
from rewards.math_answer.phrases import arc
from rewards.math_answer.quantities import starts_unit, unit
from rewards.math_answer.tokens import Token
from rewards.math_answer.units import PERCENT
from rewards.math_answer.vectors import transposed

_SIGNS = ("+", "-", r"\pm", r"\mp")
_OPENINGS = ("(", "[", "]", "{", r"\{", r"\langle", r"\lfloor", r"\lceil")
# Commands that end a product; so do the relations.
_NO_FACTORS = frozenset(
    r"\cup \cap \setminus \} \\ \pm \mp \rangle \rfloor \rceil \approx \to \circ \choose \over".split()
)
_TEXT_VALUES = frozenset((*FUNCTIONS, "infinity", "Infinity"))


class Expressions(Cursor):
    """The rules for sums, products and powers."""

    def word(self, token: Token) -> Node:
        """What a word that was taken starts: a symbol, a function, a product of letters."""
        raise NotImplementedError

    def command(self, token: Token) -> Node:
        """What a LaTeX command that was taken starts."""
        raise NotImplementedError

    def union(self) -> Node:
        """Sets joined by union, intersection or difference; or a sum."""
        raise NotImplementedError

    def delimited(self, token: Token) -> Node:
        """What an opening bracket or environment that was taken encloses."""
        raise NotImplementedError

    def sum(self) -> Node:
        """Terms with signs between them."""
        self.enter()
        terms = [self.signed()]
        while (token := self.peek()).text in _SIGNS and token.kind != "text":
            terms.append(self.signed())
        self.depth -= 1
        return terms[0] if len(terms) == 1 else Node("add", tuple(terms))

    def signed(self) -> Node:
        """A product with any number of signs in front."""
        negative = False
        marks: list[str] = []
        while (token := self.peek()).text in _SIGNS and token.kind != "text":
            self.pos += 1
            negative ^= token.text == "-"
            if token.text in (r"\pm", r"\mp"):
                marks.append(token.text[1:])
        value = self.product()
        if len(marks) > 1:
            raise NotMathError("several plus-minus signs in a row")
        if marks:
            value = Node(marks[0], (value,))
        return Node("neg", (value,)) if negative else value

    def product(self) -> Node:
        """Factors with ``*``, ``/`` or nothing between them, and the unit behind them."""
        factors: list[Node] = []
        currency = self.currency()
        while True:
            token = self.peek()
            if factors and starts_unit(self, token):
                factors += unit(self)
                break
            mixed = mixed_number(self) if token.kind == "num" else None
            if mixed is None and factors and token.kind == "num" and self.peek(-1).kind == "num":
                raise NotMathError("two numbers in a row")
            factors.append(self.power(mixed))
            self.divisors(factors)
            token = self.peek()
            if token.text == "*":
                self.pos += 1
                if self.accept("-"):
                    factors.append(Node("num", (), Fraction(-1)))
                self.accept("+")
                continue
            if not (self.starts_factor(token) or starts_unit(self, token)):
                break
        if currency is not None:
            factors.append(Node("unit", (), currency))
        return factors[0] if len(factors) == 1 else Node("mul", tuple(factors))

    def currency(self) -> str | None:
        """The currency whose sign stands in front of a number."""
        name = CURRENCY.get(self.peek().text)
        if name is not None:
            self.pos += 1
        return name

    def divisors(self, factors: list[Node]) -> None:
        """Append what comes behind one ``/`` or several, as inverses."""
        while (token := self.peek()).text == "/" and token.kind == "op":
            self.pos += 1
            sign = self.accept("-")
            factors.append(Node("inv", (self.power(),)))
            if sign:
                factors.append(Node("num", (), Fraction(-1)))

    def starts_factor(self, token: Token) -> bool:
        """Whether ``token`` begins one more factor of a product that has no sign between its factors."""
        if token.kind == "num":
            return True
        if token.text == "|":
            return not self.in_abs
        if token.kind == "word":
            return not is_prose(token.text)
        if token.kind == "text":
            return token.text in _TEXT_VALUES
        if token.kind == "begin":
            return True
        if token.kind == "cmd":
            return token.text not in RELATIONS and token.text not in _NO_FACTORS
        if token.text == "[":  # one that ends a half-open interval opens nothing
            behind = self.peek(1)
            return behind.kind not in ("eof", "sep") and behind.text not in (
                r"\cup",
                r"\cap",
                r"\setminus",
                ",",
                ")",
                "}",
            )
        return token.text in ("(", "{")

    def power(self, value: Node | None = None) -> Node:
        """An atom, or ``value`` that was read already, with what is behind it: powers, ``!``, ``%``, degrees."""
        if value is None:
            if self.peek().text == "-":
                raise NotMathError("a sign inside a product")
            value = self.atom()
        while True:
            token = self.peek()
            if token.text == "^":
                self.pos += 1
                if self.accept(r"\circ"):
                    value = self.degrees(value)
                elif self.peek().text == "{" and self.peek(1).text == r"\circ" and self.peek(2).text == "}":
                    self.pos += 3
                    value = self.degrees(value)
                else:
                    power = self.exponent()
                    value = transposed(value, power) or Node("pow", (value, power))
            elif token.text == "!":
                self.pos += 1
                if self.peek().text == "!":
                    raise NotMathError("double factorial")
                value = Node("fact", (value,))
            elif token.text == "%" or (token.kind in ("text", "word") and token.text in PERCENT):
                self.pos += 1
                value = Node("pct", (value,))
            elif token.text == r"\circ" and token.kind == "cmd":
                self.pos += 1
                value = self.degrees(value)
            else:
                return value

    def degrees(self, value: Node) -> Node:
        """An angle; with ``C`` or ``F`` at the end of an item, a temperature."""
        scale = self.peek().text
        if scale in ("C", "F") and self.peek(1).kind in ("eof", "sep"):
            self.pos += 1
            return Node("mul", (value, Node("unit", (), f"degree {scale}")))
        parts = [Fraction(0), Fraction(0)]
        for marks in (1, 2):  # minutes and seconds of arc
            primes = [self.peek(1 + ahead).text == "'" for ahead in range(marks + 1)]
            if value.op == "num" and self.peek().text.isdecimal() and all(primes[:-1]) and not primes[-1]:
                parts[marks - 1] = Fraction(self.take().text)
                self.pos += marks
        if any(parts):
            assert isinstance(value.value, Fraction)
            return arc(value.value, *parts)
        return Node("deg", (value,))

    def exponent(self) -> Node:
        """What stands behind ``^``: one atom, with the sign in front of it and the powers behind it."""
        self.enter()
        sign = self.accept("-")
        if not sign:
            self.accept("+")
        base = self.atom()
        while self.peek().text == "!":
            self.pos += 1
            base = Node("fact", (base,))
        if self.accept("^"):
            base = Node("pow", (base, self.exponent()))
        self.depth -= 1
        return Node("neg", (base,)) if sign else base

    def atom(self) -> Node:
        """The smallest value: a number, a word, a command, or what is between brackets or bars."""
        token = self.take()
        if token.kind == "num":
            return number(self, token)
        if token.kind == "word" or (token.kind == "text" and token.text in _TEXT_VALUES):
            return self.word(token)
        if token.text in _OPENINGS or token.kind == "begin":
            return self.delimited(token)
        if token.kind == "cmd":
            return self.command(token)
        if token.text == "|":
            return self.absolute()
        raise NotMathError(f"unexpected {token.text!r}")

    def absolute(self) -> Node:
        """An absolute value whose opening bar was taken."""
        self.in_abs += 1
        self.enter()
        value = self.union()
        self.expect("|")
        self.depth -= 1
        self.in_abs -= 1
        return Node("abs", (value,))
