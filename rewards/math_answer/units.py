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
    "dm": "dm decimeter decimeters decimetre decimetres",
    "ton": "ton tons tonne tonnes",
    "yd": "yd yard yards",
    "mi": "mi mile miles",
    "g": "g gram grams",
    "kg": "kg kgs kilo kilos kilogram kilograms",
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

# One word for several units, as (unit, power).
_COMPOUND = {
    "mph": (("mi", 1), ("h", -1)),
    **dict.fromkeys(("kph", "kmh", "kmph"), (("km", 1), ("h", -1))),
    "fps": (("ft", 1), ("s", -1)),
    "sqft": (("ft", 2),),
    "cc": (("cm", 3),),
}

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
    plus minus over divided by equal equals is are was be if when where else except but unless for all any each
    every none nothing some such that this the a an of with without only also either neither both then so as e.g i.e
    hundred hundreds tens thousand thousands million millions billion billions trillion trillions dozen dozens score
    half quadrillion quintillion sextillion septillion zillion googol myriad milliard gross grosses grand lakh lakhs lac
    lacs crore crores arab arabs bn bln bil mn mln mil mio tn trn thou thsd mega giga tera milli micro nano permille ppm
    ppb bps bp basis wan yi tenfold fold couple halves third
    thirds quarter quarters fourth fourths fifth fifths sixth sixths seventh sevenths eighth eighths ninth ninths tenth
    tenths hundredth hundredths thousandth thousandths millionth millionths squared cubed factorial pi
    negative positive base mod modulo decimal decimals zero one two three four five six seven eight nine
    ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty
    seventy eighty ninety infinity infinite wrong incorrect right correct false true yes answer unknown double triple
    twice once thrice power exponent inverse reciprocal log ln sin cos tan sqrt remainder nil null nan inf k K M B e E
    minuses vs versus instead rather sign signed mixed percentage to ish bc because since otherwise
    impossible undefined import lambda eval exec print return class def else while try""".split()
)
# Words that say what kind of thing is counted; a noun must follow.
_ADJECTIVES = frozenset(
    """more fewer less extra additional true false correct incorrect wrong sign decimal positive negative right real
    distinct different possible non-negative nonnegative ordered unordered prime whole even odd natural total such digit
    unique equal""".split()
)
# What may follow a unit without another meaning: 5 years old, 3 metres long.
_SAY_NOTHING = frozenset("old long tall wide high deep away left remaining altogether apart".split())
_HEDGES = frozenset("not non or least most than half hundred thousand million billion".split())
_MAX_UNIT_WORDS = 3


def is_unit_word(word: str, apart: bool) -> bool:
    r"""Whether a word outside ``\text`` is a unit, ``apart`` from what stands in front of it or not."""
    return (word in _CANONICAL or word in _COMPOUND) and (apart or word not in _ALSO_PRODUCTS)


def canonical_unit(parts: list[tuple[str, int]]) -> str | None:
    """One name for a unit given as (word, power) in order; None when the words are no unit.

    >>> canonical_unit([("square", 1), ("inches", 1)]) == canonical_unit([("in", 2)])
    True
    >>> canonical_unit([("or", 1), ("more", 1)]) is None
    True
    """
    powers: dict[str, int] = {}
    factor, last = 1, ""
    if len(parts) > _MAX_UNIT_WORDS + 3:
        return None
    parts = _with_one_noun(parts)
    for at, (word, power) in enumerate(parts):
        if at and word == "of":  # pounds of rice
            break
        if _says_nothing(parts, at):
            continue
        if word in _POWERS:
            if word not in ("squared", "cubed"):
                factor = _POWERS[word]
            elif last:
                powers[last] *= _POWERS[word]
            else:
                return None
            continue
        names = _COMPOUND[word] if word in _COMPOUND else _one_name(word)
        if names is None:
            return None
        for name, times in names:
            powers[name] = powers.get(name, 0) + times * power * factor
            last = name
        factor = 1
    if factor != 1:
        return None
    return " ".join(f"{name}^{power}" if power != 1 else name for name, power in sorted(powers.items()) if power)


def _with_one_noun(parts: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """The parts with a hyphenated noun at the end, such as "sit-ups", as one word; one that hedges stays two."""
    if len(parts) < 2 or not parts[-2][0].endswith("-"):
        return parts
    (front, _), (back, power) = parts[-2:]
    hedged = front[:-1].lower() in _HEDGES or back.lower() in _NOT_UNITS
    return parts if hedged else [*parts[:-2], (front[:-1] + back, power)]


def _says_nothing(parts: list[tuple[str, int]], at: int) -> bool:
    """Whether a word leaves what is counted as it is: an adjective with a noun behind it, "each", "years old"."""
    word = parts[at][0]
    if at + 1 < len(parts) and parts[at + 1][0].rstrip("-").isalpha():
        if word.endswith("-") and word[:-1].lower() not in _HEDGES:
            return True
        if word.lower() in _ADJECTIVES:
            return True
    return word in ("each", "apiece") or (at > 0 and word in _SAY_NOTHING)


def _one_name(word: str) -> tuple[tuple[str, int], ...] | None:
    """The name of a unit or noun as (name, 1); () for one that says nothing ("units"); None for no unit."""
    name = _CANONICAL.get(word, _CANONICAL.get(word.lower()))
    if name is None:
        lower = word.lower()
        if lower in _NOT_UNITS or not word.isalpha() or len(word) < 2:
            return None
        name = lower[:-1] if lower.endswith("s") and len(lower) > 3 else lower
    return ((name, 1),) if name else ()
