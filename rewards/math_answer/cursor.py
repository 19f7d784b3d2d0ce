r"""Reads the tokens of an answer from left to right: look ahead, take, accept, expect.

What is read here is not mathematics yet: cutting ``\frac12`` into digits, and the text of a subscript. The rules of
the grammar are methods of the subclasses (`expressions`, `commands`, `syntax`) or functions that take a cursor
(`numerals`, `quantities`).
"""

from rewards.math_answer.nodes import NotMathError
from rewards.math_answer.numbers import TooBigError
from rewards.math_answer.tokens import Token

MAX_DEPTH = 50

_END = Token("eof", "", True, 0)


class Cursor:
    """A position in the tokens of one answer.

    Attributes:
        tokens: All tokens, and the end; a rule may cut the next one in two.
        texts: What all tokens say; rules for signs that do not occur are not tried.
        pos: Index of the next token.
        depth: How many nested rules are open; each adds one with `enter` and takes it back when it is done.
        in_abs: Above 0 where ``|`` ends what is being read instead of starting an absolute value.
    """

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens + [_END] * 4  # the usual looks ahead stay inside
        self.texts = frozenset(token.text for token in tokens)
        self.pos = 0
        self.depth = 0
        self.in_abs = 0

    def peek(self, ahead: int = 0) -> Token:
        """The token ``ahead`` places after the next one; kind ``eof`` behind the last."""
        try:
            return self.tokens[self.pos + ahead]
        except IndexError:
            return _END

    def take(self) -> Token:
        """The next token, which is then behind the cursor."""
        token = self.peek()
        self.pos += 1
        return token

    def accept(self, *texts: str) -> bool:
        """Whether the next token is one of these; it is taken if so. A word inside ``\\text`` never is."""
        token = self.peek()
        if token.text in texts and token.kind not in ("text", "eof"):
            self.pos += 1
            return True
        return False

    def expect(self, text: str) -> None:
        """Take the next token, which must be this one.

        Raises:
            NotMathError: It is another.
        """
        if not self.accept(text):
            raise NotMathError(f"expected {text!r}, found {self.peek().text!r}")

    def enter(self) -> None:
        """Count one more nested rule.

        Raises:
            TooBigError: More than MAX_DEPTH of them.
        """
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooBigError

    def split_digits(self) -> None:
        r"""Cut the next number after its first digit: ``\frac12`` is one half."""
        token = self.peek()
        if token.kind == "num" and len(token.text) > 1:
            if not token.text.isdecimal():
                raise NotMathError("a decimal as an argument without braces")
            self.split(token)

    def split(self, token: Token) -> None:
        """Cut the next token, which is ``token``, after its first character."""
        rest = Token(token.kind, token.text[1:], False, token.start + 1)
        self.tokens[self.pos : self.pos + 1] = [Token(token.kind, token.text[0], token.space, token.start), rest]

    def subscript(self) -> str:
        """The text of a subscript: one token, or all that is between braces."""
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
