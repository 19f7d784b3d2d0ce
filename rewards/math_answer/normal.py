"""One spelling for the Unicode characters that answers use, from a table that is written out.

Not NFKC: it turns 5² into 52 and 10³ into 103. Characters that are not in the table stay, and make an answer a text.
"""

import re
import unicodedata

from rewards.math_answer.chinese import in_latex
from rewards.math_answer.repairs import repaired

_SUPER = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ", "0123456789+-=()ni", strict=True))
_SUB = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₙᵢ", "0123456789+-()ni", strict=True))
_SUPER_RUN = re.compile(f"[{''.join(_SUPER)}]+")
_SUB_RUN = re.compile(f"[{''.join(_SUB)}]+")
_METRES = re.compile("(?<=[0-9])(?=m[²³])")

_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho varsigma sigma tau "
    "upsilon phi chi psi omega"
).split()
_FRACTIONS = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅛": "1/8", "⅙": "1/6"}


def _table() -> dict[int, str | None]:
    """Code point -> replacement; None deletes."""
    table: dict[str, str | None] = dict.fromkeys("\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\ufeff\u00ad")
    table |= dict.fromkeys("\u00a0\u202f\u205f\u3000\t\r" + "".join(map(chr, range(0x2000, 0x200B))), " ")
    table |= {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    table |= dict.fromkeys("−–—‒‐‑﹣", "-")
    table |= {"×": r"\times ", "✕": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "÷": "/", "∕": "/"}
    table |= {"⁄": "/", "√": " sqrt ", "∛": " cbrt ", "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge "}
    table |= {"≠": r"\ne ", "≈": r"\approx ", "∪": r"\cup ", "∩": r"\cap ", "∅": r"\emptyset ", "∈": r"\in "}
    table |= {"∖": r"\setminus ", "±": r"\pm ", "∓": r"\mp ", "°": r"^\circ ", "˚": r"^\circ ", "º": r"^\circ "}
    table |= {"′": "'", "’": "'", "∠": r"\angle ", "…": r"\ldots ", "⋯": r"\cdots ", "∶": ":", "∨": r"\lor "}
    table |= {"∧": r"\land ", "∑": r"\sum ", "∏": r"\prod ", "∫": r"\int ", "⟨": r"\langle ", "⟩": r"\rangle "}
    table |= {"€": r"\euro ", "£": r"\pounds ", "¥": r"\yen ", "¢": r"\cents ", "、": ",", "。": ".", "⩽": r"\le "}
    table |= {
        "⩾": r"\ge ",
        "∣": "|",
        "‖": "|",
        "∀": r"\forall ",
        "≡": r"\equiv ",
        "≃": r"\approx ",
        "⌊": r"\lfloor ",
        "⌋": r"\rfloor ",
        "⌈": r"\lceil ",
        "⌉": r"\rceil ",
    }
    table |= {letter: rf"\mathbb{{{plain}}}" for letter, plain in zip("ℝℤℕℚℂ", "RZNQC", strict=True)}
    table |= {letter: rf"\frac{{{text[0]}}}{{{text[2]}}}" for letter, text in _FRACTIONS.items()}
    table |= {chr(0x3B1 + index): rf"\{name} " for index, name in enumerate(_GREEK) if name != "omicron"}
    capitals = {"Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma"}
    table |= {letter: rf"\{name} " for letter, name in (capitals | {"Φ": "Phi", "Ψ": "Psi", "Ω": "Omega"}).items()}
    # Bold, italic and double-struck Latin letters and digits are one character each here, so NFKC is safe.
    for code in range(0x1D400, 0x1D800):
        plain = unicodedata.normalize("NFKC", chr(code))
        if plain.isascii():
            table[chr(code)] = plain
    return {ord(char): replacement for char, replacement in table.items()}


_TABLE = _table()


def normalise(text: str) -> str:
    """The text with every character of the table replaced, superscript runs as ``^{..}``, and no space at the ends.

    >>> normalise("5²")
    '5^{2}'
    >>> normalise("x ≤ ½")
    'x \\\\le  \\\\frac{1}{2}'
    """
    if text.isascii() and text.isdecimal():
        return text
    if not text.isascii():
        text = in_latex(text)
        text = _METRES.sub(" ", text)
        text = _SUPER_RUN.sub(lambda run: "^{" + "".join(_SUPER[char] for char in run[0]) + "}", text)
        text = _SUB_RUN.sub(lambda run: "_{" + "".join(_SUB[char] for char in run[0]) + "}", text)
        text = text.translate(_TABLE)
    return repaired(text.strip())
