r"""Words and LaTeX commands: symbols, constants, functions, roots, fractions, and operators that are not evaluated.

``\sum``, ``\int``, ``\max`` and the like become one node with their arguments, as the answer leaves the work undone.
"""

from fractions import Fraction

from rewards.math_answer.expressions import Expressions
from rewards.math_answer.heads import calls_a_number
from rewards.math_answer.nodes import (
    BIG,
    BIG_WORDS,
    CALLABLE,
    CONSTANTS,
    DECORATIONS,
    FUNCTIONS,
    GREEK,
    GREEK_WORDS,
    INVERSES,
    Node,
    NotMathError,
    is_prose,
)
from rewards.math_answer.tokens import Token

_JOINED_FUNCTIONS = ("sin", "cos", "tan", "ln", "log")  # as in "sinx"


class Commands(Expressions):
    """The rules for words and commands."""

    def word(self, token: Token) -> Node:
        """What a word that was taken starts; of a product of letters the first one, the rest is put back."""
        name = token.text
        if name in ("sqrt", "cbrt"):
            return self.root(Fraction(2 if name == "sqrt" else 3))
        if name in FUNCTIONS:
            return self.function(FUNCTIONS[name])
        if name in BIG_WORDS:
            return self.big(name)
        if name in CONSTANTS and (self.peek().text != "_" or len(name) > 1):
            if calls_a_number(self, name) and len(name) == 1:
                return self.symbol(name)
            return Node("const", (), CONSTANTS[name])
        if name in GREEK_WORDS:
            return self.symbol("\\" + name)
        if is_prose(name):
            raise NotMathError(f"the word {name!r}")
        for function in _JOINED_FUNCTIONS:
            if name.startswith(function):
                self.put_back(token, name[len(function) :])
                return self.function(FUNCTIONS[function])
        if len(name) > 1:  # a product of letters; what follows belongs to the last one
            self.put_back(token, name[1:])
            return Node("const", (), CONSTANTS[name[0]]) if name[0] in CONSTANTS else Node("sym", (), name[0])
        return self.symbol(name)

    def put_back(self, token: Token, rest: str) -> None:
        """Make ``rest``, the end of the word that was taken last, the next token."""
        self.pos -= 1
        self.tokens[self.pos] = Token("word", rest, False, token.start)

    def symbol(self, name: str) -> Node:
        """A symbol with its subscript and primes; a call when it is a usual name of a function."""
        if self.accept("_"):
            name += "_" + self.subscript()
        while self.accept("'"):
            name += "'"
        if self.peek().text == r"\circ" and self.peek(1).kind == "word" and len(self.peek(1).text) == 1:
            self.pos += 1
            return Node("sym", (), rf"{name}\circ {self.take().text}")
        named = name[0] in CALLABLE or name.endswith("'") or calls_a_number(self, name)
        if self.peek().text == "(" and named:
            node = Node("call", (self.delimited(self.take()),), name)
            if self.peek().text == "_" and self.peek(1).text == "{":  # f(x)_{\min}
                self.pos += 1
                return node._replace(value=f"{name}_{self.subscript()}")
            return node
        return Node("sym", (), name)

    def command(self, token: Token) -> Node:
        """What a LaTeX command that was taken starts."""
        name = token.text
        if name == r"\frac":
            return self.fraction()
        if name == r"\sqrt":
            return self.root(Fraction(2))
        if name == r"\binom":
            return Node("binom", (self.argument(), self.argument()))
        if name in CONSTANTS:
            return Node("const", (), CONSTANTS[name])
        if name in GREEK or name in ("T", r"\partial", r"\nabla"):
            return self.symbol(name)
        if name[1:] in FUNCTIONS or name == r"\acot":
            return self.function(FUNCTIONS.get(name[1:], name[1:]))
        if name[1:] in BIG:
            return self.big(name[1:])
        if name == r"\ldots":
            return Node("big", (), "dots")
        if name == r"\emptyset":
            return Node("empty")
        if name == r"\mathbb":
            return self.number_set()
        if name in DECORATIONS:
            return Node("sym", (), f"{name}{{{self.subscript()}}}")
        if name in (r"\angle", r"\measuredangle", r"\triangle"):
            parts = [self.subscript()]
            while self.peek().kind == "word":
                parts.append(self.take().text)
            return Node("name", (), r"\angle " + "".join(parts))
        raise NotMathError(f"the command {name}")

    def number_set(self) -> Node:
        r"""``\mathbb{R}`` is the set of reals; with another letter, a power or a subscript it is a symbol."""
        braced = self.accept("{")
        letter = self.take().text
        if braced:
            self.expect("}")
        if letter == "R" and self.peek().text not in ("^", "_"):
            return Node("reals")
        return self.symbol(rf"\mathbb{letter}")

    def argument(self) -> Node:
        """What follows a command: a group, or one digit, letter or command."""
        self.enter()
        token = self.peek()
        self.split_digits()
        if token.kind == "word" and len(token.text) > 1 and token.text not in CONSTANTS:
            self.split(token)
        if self.peek().text not in ("{",) and self.peek().kind not in ("num", "word", "cmd"):
            raise NotMathError("a command without its argument")
        value = self.atom()
        self.depth -= 1
        return value

    def fraction(self) -> Node:
        r"""A quotient; a derivative when a ``d`` or ``\partial`` stands first above and below."""
        derivative = self.tokens[self.pos : self.pos + 2]
        top = self.argument()
        bottom_at = self.peek(1) if self.peek().text == "{" else self.peek()
        first = derivative[-1] if derivative[0].text == "{" else derivative[0]
        bottom = self.argument()
        if (
            _is_differential(first)
            and bottom_at.text.startswith(("d", r"\partial"))
            and (len(first.text) != 2 or len(bottom_at.text) == 2)
        ):
            return Node("big", (top, bottom), "derivative")
        return Node("mul", (top, Node("inv", (bottom,))), "frac")

    def root(self, index: Fraction) -> Node:
        """A root of order ``index``, unless brackets name another."""
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
        if name == "cis" and power is None:
            imaginary = Node("mul", (Node("const", (), "i"), Node("fn", (value,), "sin")))
            node = Node("add", (Node("fn", (value,), "cos"), imaginary))
        elif inverse and name in INVERSES:
            node = Node("fn", (value,), INVERSES[name])
        else:
            node = Node("fn", (value, base) if base is not None else (value,), name)
            node = Node("pow", (node, power)) if power is not None else node
        self.depth -= 1
        return node

    def function_argument(self) -> Node:
        """A group, or the product up to the next function, bracket or number."""
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
        while self.starts_factor(token := self.peek()) and not _is_function(token) and token.text != "(":
            if token.kind == "num":
                break
            factors.append(self.power())
        value = factors[0] if len(factors) == 1 else Node("mul", tuple(factors))
        return Node("neg", (value,)) if negative else value

    def big(self, name: str) -> Node:
        """An operator such as ``\\sum``, with its limits and the term behind it."""
        self.enter()
        args: list[Node] = []
        while self.peek().text in ("^", "_"):
            self.pos += 1
            args.append(Node("name", (), self.subscript()))
        if self.starts_factor(self.peek()):
            args.append(self.product())
        self.depth -= 1
        return Node("big", tuple(args), name)


def _is_differential(token: Token) -> bool:
    """Whether a token begins the upper part of a derivative: ``d``, ``dy`` or a partial."""
    return token.text in ("d", r"\partial") or (token.kind == "word" and len(token.text) == 2 and token.text[0] == "d")


def _is_function(token: Token) -> bool:
    return token.text in FUNCTIONS or token.text[1:] in FUNCTIONS
