"""Units behind a number: known ones under one name, and nouns that only say what is counted.

A unit is never converted: 5 m is not 500 cm. Words that change or hedge the number ("or more", "hundred", "thirds") are
no units, so that an answer with one of them is a text.
"""

_NAMES = {
    "m": "m meter meters metre metres",
    "cm": "cm centimeter centimeters centimetre centimetres",
    "mm": "mm millimeter millimeters millimetre millimetres",
    "km": "km kilometer kilometers kilometre kilometres",
    "in": "in inch inches",
    "ft": "ft foot feet",
    "yd": "yd yard yards",
    "mi": "mi mile miles",
    "g": "g gram grams",
    "kg": "kg kilogram kilograms",
    "mg": "mg milligram milligrams",
    "lb": "lb lbs pound pounds",
    "oz": "oz ounce ounces",
    "L": "L l liter liters litre litres",
    "mL": "mL ml milliliter milliliters millilitre millilitres",
    "s": "s sec secs second seconds",
    "min": "min mins minute minutes",
    "h": "h hr hrs hour hours",
    "day": "day days",
    "week": "week weeks",
    "month": "month months",
    "year": "year years yr yrs",
    "degree": "degree degrees deg",
    "radian": "radian radians rad",
    "mph": "mph",
    "$": "dollar dollars USD",
    "cent": "cent cents",
    "euro": "euro euros EUR",
    "yuan": "yuan RMB",
    "N": "N newton newtons",
    "J": "J joule joules",
    "W": "W watt watts",
    "V": "V volt volts",
    "Pa": "Pa pascal pascals",
    "Hz": "Hz hertz",
    "am": "am AM a.m",
    "pm": "pm PM p.m",
    "": "unit units",
}
_CANONICAL = {word: name for name, words in _NAMES.items() for word in words.split()}

# Letters that are units inside \text; and those that are outside it too, apart from the number: "1000 m^2".
LETTER_UNITS = frozenset("mgsLlhNJWV")
PLAIN_LETTER_UNITS = frozenset("mgsL")
# Known units that are also products of usual letters; outside \text they must stand apart.
_ALSO_PRODUCTS = frozenset("in mg mi yd am pm rad deg s m g h l L N J W V Pa".split())

_POWERS = {"square": 2, "squared": 2, "sq": 2, "cubic": 3, "cubed": 3, "cu": 3}
PERCENT = frozenset(("percent", "percentage", "pct"))

# A word of these makes another answer of the number in front of it.
_NOT_UNITS = frozenset(
    """or and not no nor maybe perhaps possibly probably approximately approx about around roughly nearly almost more
    less fewer greater larger smaller higher lower than least most max min maximum minimum up to from between through
    plus minus times over divided by equal equals is are was be if when where else except but unless for all any each
    every none nothing some such that this the a an of with without only also either neither both then so as e.g i.e
    hundred hundreds thousand thousands million millions billion billions trillion dozen dozens score half halves third
    thirds quarter quarters fourth fourths fifth fifths sixth sixths seventh sevenths eighth eighths ninth ninths tenth
    tenths hundredth hundredths thousandth thousandths millionth millionths squared cubed factorial root roots pi
    negative positive base mod modulo digit digits decimal decimals zero one two three four five six seven eight nine
    ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty
    seventy eighty ninety infinity infinite wrong incorrect right correct false true yes answer unknown double triple
    twice once thrice power exponent inverse reciprocal log ln sin cos tan sqrt remainder nil null nan inf k K M B e E
    minuses vs versus instead rather sign signed mixed percentage points point to ish bc because since otherwise
    impossible undefined import lambda eval exec print return class def else while try""".split()
)
_MAX_UNIT_WORDS = 3


def is_unit_word(word: str, apart: bool) -> bool:
    r"""Whether a word outside ``\text`` is a unit, ``apart`` from what stands in front of it or not."""
    return word in _CANONICAL and (apart or word not in _ALSO_PRODUCTS)


def canonical_unit(parts: list[tuple[str, int]]) -> str | None:
    """One name for a unit given as (word, power) in order; None when the words are no unit.

    >>> canonical_unit([("square", 1), ("inches", 1)]) == canonical_unit([("in", 2)])
    True
    >>> canonical_unit([("or", 1), ("more", 1)]) is None
    True
    """
    powers: dict[str, int] = {}
    factor, last = 1, ""
    if len(parts) > _MAX_UNIT_WORDS + 2:
        return None
    for word, power in parts:
        if word in _POWERS:
            if word not in ("squared", "cubed"):
                factor = _POWERS[word]
            elif last:
                powers[last] *= _POWERS[word]
            else:
                return None
            continue
        name = _CANONICAL.get(word) if word in _CANONICAL else _CANONICAL.get(word.lower())
        if name is None:
            if word.lower() in _NOT_UNITS or not word.isalpha() or len(word) < 2:
                return None
            lower = word.lower()
            name = lower[:-1] if lower.endswith("s") and len(lower) > 3 else lower
        if name:
            powers[name] = powers.get(name, 0) + power * factor
            last = name
        factor = 1
    if factor != 1:
        return None
    return " ".join(f"{name}^{power}" if power != 1 else name for name, power in sorted(powers.items()) if power)
