r"""The syntax tree of an answer, and the recursive descent that builds it from tokens.

A tree says what is written, not what it is worth: nothing is evaluated or simplified, and ``\sum``, ``\int``, ``\max``
and the like are kept as marks that work was left undone. Text that is not mathematics raises `NotMathError`.
Sums and products are flat, nesting is capped, so the recursion is bounded.
"""

from fractions import Fraction

from rewards.math_answer.nodes import (
    BIG,
    BIG_WORDS,
    CALLABLE,
    CONSTANTS,
    CURRENCY,
    DECORATIONS,
    FUNCTIONS,
    GREEK,
    GREEK_WORDS,
    INVERSES,
    MATRICES,
    RELATIONS,
    TRANSPARENT,
    Node,
    NotMathError,
    is_prose,
)
from rewards.math_answer.numbers import MAX_DIGITS, MAX_EXPONENT, TooBigError
from rewards.math_answer.tokens import Token
from rewards.math_answer.units import LETTER_UNITS, PERCENT, PLAIN_LETTER_UNITS, canonical_unit, is_unit_word

MAX_DEPTH = 50

_END = Token("eof", "", True, 0)


class _Parser:
    """One pass over the tokens of one answer."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.pos = 0
        self.depth = 0
        self.in_abs = 0

    def peek(self, ahead: int = 0) -> Token:
        index = self.pos + ahead
        return self.tokens[index] if index < len(self.tokens) else _END

    def take(self) -> Token:
        token = self.peek()
        self.pos += 1
        return token

    def accept(self, *texts: str) -> bool:
        token = self.peek()
        if token.text in texts and token.kind not in ("text", "eof"):
            self.pos += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.accept(text):
            raise NotMathError(f"expected {text!r}, found {self.peek().text!r}")

    def enter(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooBigError

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
            if not sign:
                return items, signs
            signs.append(sign)
            items.append(self.relation())

    def relation(self) -> Node:
        name = self.text_name()
        left = name if name is not None else self.union()
        signs: list[str] = []
        sides = [left]
        while self.peek().text in RELATIONS and self.peek().kind != "text":
            signs.append(self.take().text)
            sides.append(self.union())
        if not signs:
            return left
        return Node("rel", tuple(sides), tuple(signs))

    def text_name(self) -> Node | None:
        r"""A left side in words (``\text{Area} = ``), if the next tokens are one."""
        ahead = 0
        while (token := self.peek(ahead)).kind == "text" or (token.kind == "word" and is_prose(token.text)):
            ahead += 1
        if not ahead or self.peek(ahead).text not in ("=", ":"):
            return None
        words = " ".join(token.text for token in self.tokens[self.pos : self.pos + ahead])
        self.pos += ahead
        return Node("name", (), words)

    def union(self) -> Node:
        left = self.ratio()
        while (token := self.peek()).text in (r"\cup", r"\cap", r"\setminus"):
            self.pos += 1
            left = Node(token.text[1:], (left, self.ratio()))
        return left

    def ratio(self) -> Node:
        parts = [self.sum()]
        while self.peek().text == ":" and self.in_abs == 0:
            self.pos += 1
            parts.append(self.sum())
        return parts[0] if len(parts) == 1 else Node("ratio", tuple(parts))

    def sum(self) -> Node:
        self.enter()
        terms = [self.signed()]
        while (token := self.peek()).text in ("+", "-", r"\pm", r"\mp") and token.kind != "text":
            terms.append(self.signed())
        self.depth -= 1
        return terms[0] if len(terms) == 1 else Node("add", tuple(terms))

    def signed(self) -> Node:
        """A product with any number of signs in front."""
        negative = False
        marks: list[str] = []
        while (token := self.peek()).text in ("+", "-", r"\pm", r"\mp") and token.kind != "text":
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
        factors: list[Node] = []
        currency = self.currency()
        while True:
            token = self.peek()
            if factors and self.starts_unit(token):
                factors = self.unit(factors)
                break
            mixed = self.mixed_number() if token.kind == "num" else None
            if mixed is None and factors and token.kind == "num" and self.peek(-1).kind == "num":
                raise NotMathError("two numbers in a row")
            factors.append(mixed or self.power())
            token = self.peek()
            while token.text == "/" and token.kind == "op":
                self.pos += 1
                sign = self.accept("-")
                factors.append(Node("inv", (self.power(),)))
                if sign:
                    factors.append(Node("num", (), Fraction(-1)))
                token = self.peek()
            if token.text == "*":
                self.pos += 1
                if self.accept("-"):
                    factors.append(Node("num", (), Fraction(-1)))
                self.accept("+")
                continue
            if not (self.starts_factor(token) or self.starts_unit(token)):
                break
        if currency is not None:
            factors.append(Node("unit", (), currency))
        return factors[0] if len(factors) == 1 else Node("mul", tuple(factors))

    def currency(self) -> str | None:
        name = CURRENCY.get(self.peek().text)
        if name is not None:
            self.pos += 1
        return name

    def starts_factor(self, token: Token) -> bool:
        if token.kind == "num":
            return True
        if token.text == "|":
            return not self.in_abs
        if token.kind == "word":
            return not is_prose(token.text)
        if token.kind == "begin":
            return True
        if token.kind == "cmd":
            return token.text not in RELATIONS and token.text not in (
                *(r"\cup", r"\cap", r"\setminus", r"\}", r"\\", r"\pm", r"\mp", r"\rangle", r"\rfloor", r"\rceil"),
                *(r"\approx", r"\to", r"\circ", r"\choose", r"\over"),
            )
        return token.text in ("(", "[", "{")

    def mixed_number(self) -> Node | None:
        r"""``7 3/4`` or ``2\frac12``: a whole number and a proper fraction of whole numbers behind it."""
        whole, top = self.peek(), self.peek(1)
        if not whole.text.isdecimal():
            return None
        start = self.pos
        if top.kind == "num" and top.space and self.peek(2).text == "/" and self.peek(3).kind == "num":
            bottom = self.peek(3)
            if top.text.isdecimal() and bottom.text.isdecimal() and self.peek(4).text not in ("^", "!", "."):
                self.pos += 4
                return self.proper(start, whole.text, top.text, bottom.text)
        if top.text == r"\frac":
            self.pos += 2
            pair = [self.digits_argument() for _ in range(2)]
            if pair[0] and pair[1] and self.peek().text not in ("^", "!"):
                return self.proper(start, whole.text, pair[0], pair[1])
            self.pos = start
        return None

    def digits_argument(self) -> str:
        """The digits of a frac's argument, or "" when it is anything else; one digit at a time outside braces."""
        if self.accept("{"):
            token = self.take()
            return token.text if token.text.isdecimal() and self.accept("}") else ""
        token = self.peek()
        if not token.text.isdecimal():
            return ""
        self.split_digits()
        return self.take().text

    def proper(self, start: int, whole: str, top: str, bottom: str) -> Node | None:
        if max(len(whole), len(top), len(bottom)) > MAX_DIGITS:
            raise TooBigError
        if 0 <= int(top) < int(bottom):
            return Node("num", (), int(whole) + Fraction(int(top), int(bottom)))
        self.pos = start
        return None

    def power(self) -> Node:
        """An atom with what is written behind it: powers, ``!``, ``%``, degrees."""
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
                    value = Node("pow", (value, self.exponent()))
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
        scale = self.peek().text
        if scale in ("C", "F") and self.peek(1).kind in ("eof", "sep"):
            self.pos += 1
            return Node("mul", (value, Node("unit", (), f"degree {scale}")))
        return Node("deg", (value,))

    def exponent(self) -> Node:
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
        token = self.take()
        if token.kind == "num":
            return self.number(token)
        if token.kind == "word":
            return self.word(token)
        if token.kind == "text" and token.text in FUNCTIONS:
            return self.function(FUNCTIONS[token.text])
        if token.kind == "begin":
            return self.environment(token.text)
        if token.kind == "cmd" or token.text == r"\{":
            return self.command(token)
        if token.text in ("(", "["):
            return self.bracket(token.text)
        if token.text == "{":
            value = self.nested("}")
            return value if isinstance(value, Node) else Node("list", tuple(value), (",",) * (len(value) - 1))
        if token.text == "|":
            self.in_abs += 1
            self.enter()
            value = self.sum()
            self.expect("|")
            self.depth -= 1
            self.in_abs -= 1
            return Node("abs", (value,))
        raise NotMathError(f"unexpected {token.text!r}")

    def nested(self, close: str) -> Node | list[Node]:
        """One node, or the items, up to ``close``."""
        self.enter()
        in_abs, self.in_abs = self.in_abs, 0
        items, _ = self.items()
        self.in_abs = in_abs
        self.expect(close)
        self.depth -= 1
        return items[0] if len(items) == 1 else items

    def bracket(self, opening: str) -> Node:
        self.enter()
        in_abs, self.in_abs = self.in_abs, 0
        if self.accept(")", "]"):
            raise NotMathError("empty brackets")
        items, _ = self.items()
        self.in_abs = in_abs
        closing = self.take().text
        self.depth -= 1
        if closing not in (")", "]"):
            raise NotMathError("a bracket that is not closed")
        if len(items) == 1 and (opening, closing) == ("(", ")"):
            value = items[0]
            based = value.op == "num" and self.peek().text == "_"
            return self.based(str(value.value)) if based else value
        if len(items) == 1 and items[0].op == "matrix":
            return items[0]
        return Node("bracket", tuple(items), opening + closing)

    def number(self, token: Token) -> Node:
        if len(token.text) > MAX_DIGITS:
            raise TooBigError
        if self.peek().text == "_":
            return self.based(token.text)
        mantissa, _, power = token.text.lower().partition("e")
        if power and abs(int(power)) > MAX_EXPONENT:
            raise TooBigError
        value = Fraction(mantissa.rstrip(".")) * (Fraction(10) ** int(power) if power else 1)
        if self.peek().text == r"\overline" and "." in mantissa and not power:
            return self.repeating(value, len(mantissa.partition(".")[2]))
        return Node("num", (), value)

    def repeating(self, value: Fraction, places: int) -> Node:
        r"""``0.1\overline{6}``."""
        self.pos += 1
        self.expect("{")
        digits = self.take().text
        self.expect("}")
        if not digits.isdecimal() or len(digits) > MAX_DIGITS:
            raise NotMathError("an overline that is no repeating decimal")
        return Node("num", (), value + Fraction(int(digits), (10 ** len(digits) - 1) * 10**places))

    def based(self, digits: str) -> Node:
        self.expect("_")
        braced = self.accept("{")
        base = self.take().text
        if braced:
            self.expect("}")
        if not base.isdecimal() or not digits.isdecimal() or len(base) > 2 or not 2 <= int(base) <= 36:
            raise NotMathError("a subscript that is no base")
        return Node("base", (), (digits, base))

    def word(self, token: Token) -> Node:
        name = token.text
        if name in ("sqrt", "cbrt"):
            return self.root(Fraction(2 if name == "sqrt" else 3))
        if name in FUNCTIONS:
            return self.function(FUNCTIONS[name])
        if name in BIG_WORDS:
            return self.big(name)
        if name in CONSTANTS and (self.peek().text != "_" or len(name) > 1):
            return Node("const", (), CONSTANTS[name])
        if name in GREEK_WORDS:
            return self.symbol("\\" + name)
        if is_prose(name):
            raise NotMathError(f"the word {name!r}")
        for function in ("sin", "cos", "tan", "ln", "log"):
            if name.startswith(function):
                self.tokens[self.pos - 1] = Token("word", name[len(function) :], False, token.start)
                self.pos -= 1
                return self.function(FUNCTIONS[function])
        if len(name) > 1:  # a product of letters; what follows belongs to the last one
            self.tokens[self.pos - 1] = Token("word", name[1:], False, token.start)
            self.pos -= 1
            return Node("const", (), CONSTANTS[name[0]]) if name[0] in CONSTANTS else Node("sym", (), name[0])
        return self.symbol(name)

    def symbol(self, name: str) -> Node:
        """A symbol with its subscript and primes; a call when it is a usual name of a function."""
        if self.accept("_"):
            name += "_" + self.subscript()
        while self.accept("'"):
            name += "'"
        if self.peek().text == "(" and (name[0] in CALLABLE or name.endswith("'")):
            self.pos += 1
            args = self.bracket("(")
            return Node("call", (args,), name)
        return Node("sym", (), name)

    def subscript(self) -> str:
        if not self.accept("{"):
            return self.take().text
        parts, depth = [], 1
        while depth:
            token = self.take()
            if token.kind == "eof":
                raise NotMathError("a subscript that is not closed")
            depth += (token.text == "{") - (token.text == "}")
            parts.append(token.text if depth else "")
        return "".join(parts)

    def split_digits(self) -> None:
        r"""Cut the next number after its first digit: ``\frac12`` is one half."""
        token = self.peek()
        if token.kind == "num" and len(token.text) > 1:
            if not token.text.isdecimal():
                raise NotMathError("a decimal as an argument without braces")
            rest = Token("num", token.text[1:], False, token.start + 1)
            self.tokens[self.pos : self.pos + 1] = [Token("num", token.text[0], token.space, token.start), rest]

    def argument(self) -> Node:
        """What follows a command: a group, or one digit, letter or command."""
        self.enter()
        token = self.peek()
        self.split_digits()
        if token.kind == "word" and len(token.text) > 1 and token.text not in CONSTANTS:
            rest = Token("word", token.text[1:], False, token.start + 1)
            self.tokens[self.pos : self.pos + 1] = [Token("word", token.text[0], token.space, token.start), rest]
        if self.peek().text not in ("{",) and self.peek().kind not in ("num", "word", "cmd"):
            raise NotMathError("a command without its argument")
        value = self.atom()
        self.depth -= 1
        return value

    def root(self, index: Fraction) -> Node:
        self.enter()
        if self.accept("["):
            self.in_abs, in_abs = 0, self.in_abs
            node = self.sum()
            self.in_abs = in_abs
            self.expect("]")
        else:
            node = Node("num", (), index)
        if self.peek().kind not in ("num", "word", "cmd") and self.peek().text not in ("{", "("):
            raise NotMathError("a root of nothing")
        value = self.atom()
        self.depth -= 1
        return Node("root", (value, node))

    def command(self, token: Token) -> Node:
        name = token.text
        if name == r"\frac":
            return self.fraction()
        if name == r"\sqrt":
            return self.root(Fraction(2))
        if name == r"\binom":
            return Node("binom", (self.argument(), self.argument()))
        if name in CONSTANTS:
            return Node("const", (), CONSTANTS[name])
        if name in GREEK:
            return self.symbol(name)
        if name[1:] in FUNCTIONS or name == r"\acot":
            return self.function(FUNCTIONS.get(name[1:], name[1:]))
        if name[1:] in BIG:
            return self.big(name[1:])
        if name == r"\ldots":
            return Node("big", (), "dots")
        if name == r"\{":
            return self.braces()
        if name == r"\emptyset":
            return Node("empty")
        if name == r"\mathbb":
            self.expect("{")
            letter = self.take().text
            self.expect("}")
            return (
                self.symbol(rf"\mathbb{letter}") if letter != "R" or self.peek().text in ("^", "_") else Node("reals")
            )
        if name == r"\langle":
            items = self.nested(r"\rangle")
            return Node("bracket", tuple(items) if isinstance(items, list) else (items,), "()")
        if name in (r"\lfloor", r"\lceil"):
            closed = r"\rfloor" if name == r"\lfloor" else r"\rceil"
            value = self.nested(closed)
            if not isinstance(value, Node):
                raise NotMathError("several items in a floor")
            return Node("fn", (value,), "floor" if closed == r"\rfloor" else "ceil")
        if name in DECORATIONS:
            return Node("sym", (), f"{name}{{{self.subscript()}}}")
        if name == r"\angle":
            parts = [self.take().text]
            while self.peek().kind == "word":
                parts.append(self.take().text)
            return Node("name", (), r"\angle " + "".join(parts))
        raise NotMathError(f"the command {name}")

    def fraction(self) -> Node:
        start = self.pos
        top = self.argument()
        bottom_at = self.peek(1) if self.peek().text == "{" else self.peek()
        derivative = self.tokens[start : start + 2]
        first = derivative[-1] if derivative and derivative[0].text == "{" else derivative[0]
        bottom = self.argument()
        if first.text in ("d", r"\partial") and bottom_at.text.startswith(("d", r"\partial")):
            return Node("big", (top, bottom), "derivative")
        return Node("mul", (top, Node("inv", (bottom,))), "frac")

    def function(self, name: str) -> Node:
        """A function with an optional power, base and argument, bracketed or not (``\\sin 2x``)."""
        self.enter()
        power = base = None
        while self.peek().text in ("^", "_"):
            if self.take().text == "^":
                power = self.exponent()
            else:
                base = self.argument()
        value = self.function_argument()
        if base is not None and name != "log":
            raise NotMathError(f"a subscript at {name}")
        inverse = power is not None and power.op == "neg" and power.args[0] == Node("num", (), Fraction(1))
        if inverse and name in INVERSES:
            node = Node("fn", (value,), INVERSES[name])
        else:
            node = Node("fn", (value, base) if base is not None else (value,), name)
            node = Node("pow", (node, power)) if power is not None else node
        self.depth -= 1
        return node

    def function_argument(self) -> Node:
        token = self.peek()
        if token.text in ("(", "{") or (token.text == "|" and not self.in_abs):
            value = self.atom()
            if value.op in ("list", "bracket"):
                raise NotMathError("a function of several arguments")
            return value
        if not self.starts_factor(token) and token.text != "-":
            raise NotMathError("a function without its argument")
        negative = self.accept("-")
        factors = [self.power()]
        while self.starts_factor(token := self.peek()) and not self.starts_function(token) and token.text != "(":
            if token.kind == "num":
                break
            factors.append(self.power())
        value = factors[0] if len(factors) == 1 else Node("mul", tuple(factors))
        return Node("neg", (value,)) if negative else value

    def starts_function(self, token: Token) -> bool:
        return token.text in FUNCTIONS or token.text[1:] in FUNCTIONS

    def big(self, name: str) -> Node:
        """An operator that leaves its work to the reader, with its limits and the term behind it."""
        self.enter()
        args: list[Node] = []
        while self.peek().text in ("^", "_"):
            self.pos += 1
            args.append(Node("name", (), self.subscript()))
        if self.starts_factor(self.peek()):
            args.append(self.product())
        self.depth -= 1
        return Node("big", tuple(args), name)

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
            condition = conditions[0] if len(conditions) == 1 else Node("list", tuple(conditions), tuple(signs))
            return Node("builder", (items[0], condition))
        self.in_abs = in_abs
        self.expect(r"\}")
        self.depth -= 1
        return Node("set", tuple(items))

    def environment(self, name: str) -> Node:
        if name in TRANSPARENT:
            self.enter()
            value = self.relation()
            while self.accept(r"\\", "&"):
                pass
            if self.take() != Token("end", name, self.peek(-1).space, self.peek(-1).start):
                raise NotMathError(f"{name} is not closed")
            self.depth -= 1
            return value
        if name not in MATRICES:
            raise NotMathError(f"the environment {name}")
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

    def starts_unit(self, token: Token) -> bool:
        if token.text in PERCENT or token.text in FUNCTIONS or token.text in BIG_WORDS:
            return False
        if token.kind == "text":
            return True
        if token.kind != "word":
            return token.text in CURRENCY
        if len(token.text) == 1:
            return token.space and token.text in PLAIN_LETTER_UNITS and self.letter_ends_item()
        return is_unit_word(token.text, token.space) or is_prose(token.text)

    def letter_ends_item(self) -> bool:
        """Whether nothing but a power stands behind a letter, and nothing but numbers in front of it."""
        ahead = 1
        if self.peek(ahead).text == "^":
            ahead = 5 if self.peek(2).text == "{" else 3
        elif self.peek(ahead).text == "/" and self.peek(2).text in LETTER_UNITS:
            ahead = 3
            if self.peek(ahead).text == "^":
                ahead = 7 if self.peek(4).text == "{" else 5
        before = self.tokens[self.pos - 1]
        return self.peek(ahead).kind == "eof" and (before.kind == "num" or before.text in ("}", r"\pi"))

    def unit(self, factors: list[Node]) -> list[Node]:
        """The factors with the unit behind them, which must end the product."""
        parts: list[tuple[str, int]] = []
        sign = 1
        if self.peek().text in CURRENCY:
            return [*factors, Node("unit", (), CURRENCY[self.take().text])]
        while True:
            token = self.take()
            if token.kind not in ("text", "word"):
                raise NotMathError("a unit that is none")
            parts.append((token.text, sign * self.unit_power()))
            if token.text == "per":
                parts.pop()
                sign = -1
                continue
            sign = 1
            if self.peek().text == "/":
                self.pos += 1
                sign = -1
            elif self.peek().text in ("*", "."):
                self.pos += 1
            elif self.peek().kind not in ("text", "word"):
                break
        name = canonical_unit(parts)
        if name is None:
            raise NotMathError("words that change the number")
        return [*factors, Node("unit", (), name)] if name else factors

    def unit_power(self) -> int:
        if not self.accept("^"):
            return 1
        braced = self.accept("{")
        sign = -1 if self.accept("-") else 1
        digits = self.take().text
        if braced:
            self.expect("}")
        if digits not in ("1", "2", "3", "4"):
            raise NotMathError("an odd power of a unit")
        return sign * int(digits)


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
