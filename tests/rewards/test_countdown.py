"""Tables for the Countdown judge: values, numbers, grammar, limits, bad ground truth; then properties."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from rewards import Outcome, Verdict
from rewards.countdown import MAX_NESTING, MAX_NUMBERS, MAX_OPERATORS, judge_countdown, judge_expression

EXPLOITS_FILE = Path(__file__).parents[1] / "data" / "exploits_countdown.jsonl"
EXPLOITS = [json.loads(line) for line in EXPLOITS_FILE.read_text(encoding="utf-8").splitlines()]

CORRECT, WRONG, BAD_FORMAT = Outcome.CORRECT, Outcome.WRONG, Outcome.BAD_FORMAT

# (answer, nums, target, outcome, detail, why), every number to be used
EXPRESSIONS = [
    # Values, each by hand
    ("(1 + 2) / 3", [1, 2, 3], 1, CORRECT, "", "3 / 3"),
    ("2 + 3 * 4", [2, 3, 4], 14, CORRECT, "", "* before +: 2 + 12"),
    ("8 - 4 - 2", [8, 4, 2], 2, CORRECT, "", "from the left: 4 - 2"),
    ("8 / 4 / 2", [8, 4, 2], 1, CORRECT, "", "from the left: 2 / 2"),
    ("8 / (4 / 2)", [8, 4, 2], 4, CORRECT, "", "8 / 2"),
    ("6 / 4 * 2", [6, 4, 2], 3, CORRECT, "", "3/2 * 2: fractions on the way are exact"),
    ("1 / 3 * 3", [1, 3, 3], 1, CORRECT, "", "no rounding"),
    ("-2 * -3", [2, 3], 6, CORRECT, "", "unary minus"),
    ("2 - -3", [2, 3], 5, CORRECT, "", "unary minus after an operator"),
    ("-(2 - 3)", [2, 3], 1, CORRECT, "", "unary minus before a bracket"),
    ("2 - 3", [2, 3], -1, CORRECT, "", "a negative target"),
    ("((5))", [5], 5, CORRECT, "", "idle brackets, a single number"),
    ("0 + 3", [0, 3], 3, CORRECT, "", "0 may be given"),
    ("  1+2  ", [1, 2], 3, CORRECT, "", "spaces are free"),
    ("\n1 + 2\n", [1, 2], 3, CORRECT, "", "the ends are stripped"),
    ("7 / 2", [7, 2], 3, WRONG, "value 7/2, target 3", "not rounded down"),
    ("7 / 2", [7, 2], 4, WRONG, "value 7/2, target 4", "nor up"),
    ("1 + 2", [1, 2], 4, WRONG, "value 3, target 4", "another value"),
    ("1 / (2 - 2)", [1, 2, 2], 1, WRONG, "division by zero", "1 / 0"),
    ("0 / 0", [0, 0], 0, WRONG, "division by zero", "0 / 0 is not 0"),
    # Numbers
    ("3 + 3", [3, 3], 6, CORRECT, "", "given twice, used twice"),
    ("3 + 3", [3], 6, WRONG, "uses 3 2 times, given 1", "given once"),
    ("1 + 5", [1, 2], 6, WRONG, "uses 5 which is not given", "not given"),
    ("12", [1, 2], 12, WRONG, "uses 12 which is not given", "digits are not glued together"),
    ("1 + 2", [12], 3, WRONG, "uses 1 which is not given", "nor taken apart"),
    ("98", [1, 2, 3], 98, WRONG, "uses 98 which is not given", "the target itself"),
    ("1 + 2", [1, 2, 7, 5], 3, WRONG, "does not use 5, 7", "two left over"),
    # Not an expression
    ("", [1], 1, BAD_FORMAT, "not an expression", "empty"),
    ("()", [1], 1, BAD_FORMAT, "Tuple is not allowed", "empty brackets"),
    ("1 +", [1], 1, BAD_FORMAT, "not an expression", "unfinished"),
    ("(1 + 2", [1, 2], 3, BAD_FORMAT, "not an expression", "unclosed"),
    ("1 + 2)", [1, 2], 3, BAD_FORMAT, "not an expression", "unopened"),
    (")1 + 2(", [1, 2], 3, BAD_FORMAT, "not an expression", "reversed"),
    ("1 2", [1, 2], 2, BAD_FORMAT, "not an expression", "no operator; and 1 2 is not 12"),
    ("2(3)", [2, 3], 6, BAD_FORMAT, "Call is not allowed", "no implicit product"),
    ("(2)(3)", [2, 3], 6, BAD_FORMAT, "Call is not allowed", "no implicit product of brackets"),
    ("2(*(3))", [2, 3], 6, BAD_FORMAT, "Call is not allowed", "a starred argument"),
    ("*2", [2], 2, BAD_FORMAT, "not an expression", "a star without a left side"),
    ("+2", [2], 2, BAD_FORMAT, "UAdd is not allowed", "no unary plus"),
    ("2 - +3", [2, 3], -1, BAD_FORMAT, "UAdd is not allowed", "no unary plus inside either"),
    ("2 * * 5", [2, 5], 32, BAD_FORMAT, "not an expression", "** in two pieces"),
    ("7 / / 2", [7, 2], 3, BAD_FORMAT, "not an expression", "// in two pieces"),
    ("2 **-1", [2, 1], 1, BAD_FORMAT, "Pow is not allowed", "power"),
    ("7 //2", [7, 2], 3, BAD_FORMAT, "FloorDiv is not allowed", "floor division"),
    ("1 + 2 = 3", [1, 2], 3, BAD_FORMAT, "an equation: only the expression is wanted", "even a true equation"),
    ("1 == 1", [1, 1], 1, BAD_FORMAT, "an equation: only the expression is wanted", "a comparison"),
    ("1\n+ 2", [1, 2], 3, BAD_FORMAT, "character '\\n' is not allowed", "one line only"),
    ("(1\n+ 2)", [1, 2], 3, BAD_FORMAT, "character '\\n' is not allowed", "in brackets too"),
    ("1\t+ 2", [1, 2], 3, BAD_FORMAT, "character '\\t' is not allowed", "spaces only"),
    ("1\u00a0+ 2", [1, 2], 3, BAD_FORMAT, "character '\\xa0' is not allowed", "no-break space"),
    ("1\x00", [1], 1, BAD_FORMAT, "character '\\x00' is not allowed", "NUL"),
    ("2 × 3", [2, 3], 6, BAD_FORMAT, "character '\\xd7' is not allowed", "the prompt names the operators"),
    ("6 ÷ 3", [6, 3], 2, BAD_FORMAT, "character '\\xf7' is not allowed", "likewise"),
    ("3 − 2", [3, 2], 1, BAD_FORMAT, "character '\\u2212' is not allowed", "U+2212 minus"),
    ("2 x 3", [2, 3], 6, BAD_FORMAT, "character 'x' is not allowed", "a letter"),
    ("2 % 3", [2, 3], 2, BAD_FORMAT, "character '%' is not allowed", "remainder"),
    ("6, 1", [6, 1], 6, BAD_FORMAT, "character ',' is not allowed", "a tuple hedges"),
    ("[6]", [6], 6, BAD_FORMAT, "character '[' is not allowed", "a list"),
    ("True + 1", [1, 1], 2, BAD_FORMAT, "character 'T' is not allowed", "True is 1 to Python"),
    ("__import__('os')", [1], 1, BAD_FORMAT, "character '_' is not allowed", "code"),
    ("\\frac{6}{3}", [6, 3], 2, BAD_FORMAT, "character '\\\\' is not allowed", "LaTeX"),
    # Spellings of a number
    ("1_000", [1000], 1000, BAD_FORMAT, "character '_' is not allowed", "underscore"),
    ("1.0", [1], 1, BAD_FORMAT, "character '.' is not allowed", "float"),
    ("1e2", [1, 2], 100, BAD_FORMAT, "character 'e' is not allowed", "exponent"),
    ("0x10", [16], 16, BAD_FORMAT, "character 'x' is not allowed", "hexadecimal"),
    ("007", [7], 7, BAD_FORMAT, "a number with a leading zero", "leading zeros"),
    ("1 + 00", [1, 0], 1, BAD_FORMAT, "a number with a leading zero", "00"),
    ("100 + 101", [100, 101], 201, CORRECT, "", "zeros inside a number are not leading"),
    ("٣", [3], 3, BAD_FORMAT, "character '\\u0663' is not allowed", "Arabic-Indic digit: int() reads it"),
    ("３ + 1", [3, 1], 4, BAD_FORMAT, "character '\\uff13' is not allowed", "full-width digit: NFKC folds it"),
    ("2²", [2, 2], 4, BAD_FORMAT, "character '\\xb2' is not allowed", "superscript"),
    # Limits
    ("9" * 18, [10**18 - 1], 10**18 - 1, CORRECT, "", "the largest number"),
    ("9" * 19, [1], 1, BAD_FORMAT, "a number of more than 18 digits", "one digit more"),
    ("1" + " " * 220, [1], 1, CORRECT, "", "stripped before it is measured"),
    ("(" + " " * 217 + "1)", [1], 1, CORRECT, "", "220 characters, 200 + 20 for one number"),
    ("(" + " " * 218 + "1)", [1], 1, BAD_FORMAT, "221 characters, limit 220", "one more"),
    ("-" * MAX_OPERATORS + "1", [1], 1, CORRECT, "", "64 signs cancel"),
    ("-" * (MAX_OPERATORS + 1) + "1", [1], -1, BAD_FORMAT, "65 operators, limit 64", "one more"),
    ("(" * MAX_NESTING + "1" + ")" * MAX_NESTING, [1], 1, CORRECT, "", "32 brackets"),
    ("(" * 33 + "1" + ")" * 33, [1], 1, BAD_FORMAT, "brackets nested deeper than 32", "one more"),
    ("(" * 100 + "1" + ")" * 100, [1], 1, BAD_FORMAT, "brackets nested deeper than 32", "a bomb within the length"),
    ("-(" * 60 + "1" + ")" * 60, [1], 1, BAD_FORMAT, "brackets nested deeper than 32", "a bomb of signs"),
    ("(" * 100, [1], 1, BAD_FORMAT, "brackets nested deeper than 32", "never closed"),
    ("+".join("1" * MAX_NUMBERS), [1] * MAX_NUMBERS, MAX_NUMBERS, CORRECT, "", "as many numbers as may be given"),
    ("*".join("9" * MAX_NUMBERS), [9] * MAX_NUMBERS, 1, WRONG, f"value {9**32}, target 1", "a long value"),
]

MEGABYTE = 1_000_000
LARGE = [
    "(" * MEGABYTE,
    "-" * MEGABYTE,
    "9" * MEGABYTE,
    "1+" * (MEGABYTE // 2),
    "9**" * (MEGABYTE // 3),
    "=" * MEGABYTE,
]

# (answer, nums, target, outcome, why), numbers may be left out
AT_MOST_ONCE = [
    ("1 + 5", [1, 5, 2], 6, CORRECT, "2 is left out"),
    ("5", [1, 5, 2], 5, CORRECT, "one number will do"),
    ("1 + 5 * 2", [1, 5, 2], 11, CORRECT, "all of them may be used"),
    ("5 + 5", [5, 1], 10, WRONG, "but none twice"),
    ("5 + 5", [5, 5, 1], 10, CORRECT, "unless given twice"),
    ("5 + 3", [5, 1], 8, WRONG, "nor one that is not given"),
]

BAD_GROUND_TRUTH = [
    ([], 1, "no numbers"),
    (None, 1, "no list"),
    (7, 1, "no list"),
    ("12", 1, "a string"),
    (["1", "2"], 3, "strings"),
    ([1.0, 2], 3, "a float"),
    ([True, 2], 3, "a bool"),
    ([None], 3, "a hole"),
    ([1, -2], 3, "a negative number: no literal is one"),
    ([10**18], 3, "19 digits"),
    ([10**5000], 3, "too long for str()"),
    ([1] * (MAX_NUMBERS + 1), 3, "33 numbers"),
    ([1, 2], None, "no target"),
    ([1, 2], "3", "a string as target"),
    ([1, 2], 3.0, "a float as target"),
    ([1, 2], True, "a bool as target"),
    ([1, 2], float("nan"), "NaN as target"),
    ([1, 2], 10**18, "a target of 19 digits"),
    ([1, 2], -(10**5000), "a target too long for str()"),
]

TEXTS = [
    ("<think>\nso</think> <answer>1 + 2</answer>", CORRECT, "prefilled <think>"),
    ("<answer>1 + 2</answer>", CORRECT, "the format judge looks after the thinking"),
    ("<think>a</think> <answer>1 + 2</answer> I hope", CORRECT, "and after what follows"),
    ("<think>a</think> <answer>2 + 2</answer>", WRONG, "uses 2 twice"),
    ("<think>a</think> <answer>three</answer>", BAD_FORMAT, "not an expression"),
    ("<think>a</think> <answer><b>1 + 2</b></answer>", BAD_FORMAT, "markup in the answer"),
    ("<think>1 + 2</think>", Outcome.NO_ANSWER, "thought, not answered"),
    ("1 + 2", Outcome.NO_ANSWER, "no tags"),
    ("<answer>2 - 1</answer> <answer>1 + 2</answer>", Outcome.NO_ANSWER, "two answers hedge"),
    ("<answer>1 + 2</answer></answer>", Outcome.NO_ANSWER, "closed twice"),
    ("<think>a <answer>1 + 2</answer></think>", Outcome.NO_ANSWER, "answer inside think"),
    ("<answer> </answer>", Outcome.NO_ANSWER, "empty"),
    ("<answer>" * (MEGABYTE // 8), Outcome.NO_ANSWER, "1 MB of tags"),
    ("<answer>" + "1" * MEGABYTE + "</answer>", BAD_FORMAT, "1 MB of answer"),
]


@pytest.mark.parametrize(("answer", "nums", "target", "outcome", "detail", "why"), EXPRESSIONS)
def test_expression(answer: str, nums: list[int], target: int, outcome: Outcome, detail: str, why: str) -> None:
    expected = Verdict(1.0 if outcome is CORRECT else 0.0, outcome, detail)
    assert judge_expression(answer, nums, target, use_all_numbers=True) == expected, why


@pytest.mark.parametrize(("answer", "nums", "target", "outcome", "why"), AT_MOST_ONCE)
def test_numbers_may_be_left_out(answer: str, nums: list[int], target: int, outcome: Outcome, why: str) -> None:
    assert judge_expression(answer, nums, target, use_all_numbers=False).outcome is outcome, why


@pytest.mark.parametrize("row", EXPLOITS, ids=lambda row: f"{row['source']}: {row['why']}")
def test_known_exploits(row: dict) -> None:
    text = f"<think>\na</think> <answer>{row['answer']}</answer>"
    verdict = judge_countdown(text, row["nums"], row["target"], row["use_all_numbers"])
    assert verdict.outcome.name == row["outcome"], verdict.detail


@pytest.mark.parametrize("answer", LARGE, ids=lambda answer: answer[:4])
def test_large_answer_is_refused_by_length(answer: str) -> None:
    verdict = judge_expression(answer, [1, 2], 3, use_all_numbers=True)
    assert verdict == Verdict(0.0, BAD_FORMAT, f"{len(answer)} characters, limit 240")


@pytest.mark.parametrize(("nums", "target", "why"), BAD_GROUND_TRUTH, ids=[row[-1] for row in BAD_GROUND_TRUTH])
@pytest.mark.parametrize("answer", ["1 + 2", "no answer"])
def test_bad_ground_truth_is_ungradeable(answer: str, nums: object, target: object, why: str) -> None:
    """Whatever the completion says: a bad row must not score 0 for some of its group and None for the others."""
    expression = judge_expression(answer, nums, target, use_all_numbers=True)
    assert (expression.score, expression.outcome) == (None, Outcome.UNGRADEABLE), why
    assert judge_countdown("no tags", nums, target, use_all_numbers=False) == expression


@pytest.mark.parametrize(("text", "outcome", "why"), TEXTS, ids=[row[-1] for row in TEXTS])
def test_text(text: str, outcome: Outcome, why: str) -> None:
    assert judge_countdown(text, (1, 2), 3, use_all_numbers=True).outcome is outcome


@given(st.text())
def test_any_text_gets_a_verdict(text: str) -> None:
    assert judge_countdown(text, [1, 2], 3, use_all_numbers=True).score == 0.0
    assert judge_expression(text, [1, 2], 3, use_all_numbers=True).score is not None


@given(st.text(alphabet="0123456789+-*/() ", max_size=60))
@example("1" + "+1" * 200)
@example("(*(1))")
def test_any_arithmetic_text_gets_a_verdict(answer: str) -> None:
    """The alphabet that reaches the parser."""
    assert judge_expression(answer, [1, 2, 3], 6, use_all_numbers=False).outcome in (CORRECT, WRONG, BAD_FORMAT)


@st.composite
def rendered_expressions(draw: st.DrawFn) -> tuple[str, list[int], Fraction]:
    """A random tree over up to six numbers: its text with all brackets, the numbers shuffled, its value."""
    nums = draw(st.lists(st.integers(0, 99), min_size=1, max_size=6))
    terms = [(str(num), Fraction(num)) for num in nums]
    while len(terms) > 1:
        left, left_value = terms.pop(draw(st.integers(0, len(terms) - 1)))
        right, right_value = terms.pop(draw(st.integers(0, len(terms) - 1)))
        sign = draw(st.sampled_from("+-*/"))
        assume(sign != "/" or right_value != 0)
        value = {
            "+": lambda a, b: a + b,
            "-": lambda a, b: a - b,
            "*": lambda a, b: a * b,
            "/": lambda a, b: a / b,
        }[sign](left_value, right_value)
        minus = draw(st.booleans())
        terms.append((f"-({left}{sign}{right})", -value) if minus else (f"({left}{sign}{right})", value))
    return terms[0][0], draw(st.permutations(nums)), terms[0][1]


@given(rendered_expressions())
def test_random_expression_has_its_own_value_and_no_other(drawn: tuple[str, list[int], Fraction]) -> None:
    expression, nums, value = drawn
    whole = value.numerator // value.denominator
    right = judge_expression(expression, nums, whole, use_all_numbers=True)
    assert right.outcome is (CORRECT if value == whole else WRONG), right.detail
    assert judge_expression(expression, nums, whole + 1, use_all_numbers=True).outcome is WRONG


@given(rendered_expressions(), st.integers(0, 99))
def test_a_number_more_is_left_out_or_missed(drawn: tuple[str, list[int], Fraction], extra: int) -> None:
    expression, nums, value = drawn
    assume(value.denominator == 1)
    assert judge_expression(expression, [*nums, extra], int(value), use_all_numbers=False).outcome is CORRECT
    missed = judge_expression(expression, [*nums, extra], int(value), use_all_numbers=True)
    assert missed == Verdict(0.0, WRONG, f"does not use {extra}")


@given(rendered_expressions(), st.lists(st.integers(0, 2), min_size=60, max_size=60))
def test_spaces_between_symbols_change_nothing(drawn: tuple[str, list[int], Fraction], gaps: list[int]) -> None:
    expression, nums, value = drawn
    target = value.numerator // value.denominator
    for sign in "+-*/()":
        expression = expression.replace(sign, f"\0{sign}\0")
    pieces = expression.split("\0")
    spaced = "".join(piece + " " * gap for piece, gap in zip(pieces, gaps * len(pieces), strict=False))
    plain = judge_expression("".join(pieces), nums, target, use_all_numbers=True)
    assert judge_expression(spaced, nums, target, use_all_numbers=True) == plain
