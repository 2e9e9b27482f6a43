"""Short answers that are numbers: what equals what, and what must not be taken for equal."""

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from verdict_table import question

from octomed_jax.verification.check import check_response

SHARE = "Her brother is affected. What is the probability that she is a carrier?"
OTHER = "He is at risk. What is seen?"


def judged(gold, answer, text=OTHER, **fields):
    verdict = check_response(question("short_answer", gold, text=text, **fields), f"\\boxed{{{answer}}}", "stop")
    return verdict.verdict


EQUAL = [
    (r"\frac{3}{4}", "0.75"),
    (r"\frac{3}{4}", "3/4"),
    (r"\frac{3}{4}", r"\dfrac34"),
    (r"\frac{3}{4}", r"\frac{6}{8}"),
    (r"$\frac{3}{4}$", r"\left(\tfrac{3}{4}\right)"),
    (r"-\frac{1}{2}", r"\frac{-1}{2}"),
    (r"-\frac{1}{2}", "-0.5"),
    (r"3 \times 10^{5}", "300000"),
    (r"3\cdot 10^5", "300,000"),
    (r"10^{-3}", "0.001"),
    ("1,000", "1000"),
    ("300{,}000", "3 × 10^5"),
    (r"75\%", "75.0 percent"),
    (r"\frac{1}{2}\text{ tablet}", "0.5 tablet"),
    (r"0.5\,\text{mg}", "0.50 mg"),
    ("500 mg", "0.5 g"),
    ("5 µg", r"5\,\mathrm{mcg}"),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_exact_numbers_are_equal_in_any_form(one, other):
    assert judged(one, other) == judged(other, one) == "correct"


def test_a_response_may_write_a_decimal_gold_as_a_fraction():
    assert judged("0.75", "3/4") == judged("1.5", "3/2") == "correct"


@pytest.mark.parametrize(
    ("gold", "answer", "verdict"),
    [
        ("3/4", "0.75", "unparsed"),  # a date, a grade
        ("3/4", "6/8", "unparsed"),
        ("3/4", "4/3", "wrong"),
        ("3/4", "3/4/2024", "wrong"),
        ("3/4", "March 4", "wrong"),
        ("120/80", "1.5", "unparsed"),
        ("120/80 mmHg", "1.5 mmHg", "unparsed"),
        ("120/80", r"\frac{3}{2}", "unparsed"),
        ("120/80", "12/8", "unparsed"),
        ("1.5", "120/80", "unparsed"),
        (r"\frac{3}{2}", "120/80 mmHg", "wrong"),
        ("2", "2/1", "unparsed"),
        ("0.5", "20/40", "unparsed"),
        ("1/2 tablets", "0.5 mg", "wrong"),
        ("1/2 tablets", "1/2 ampoules", "wrong"),
        ("1/2 tablets", "0.5", "wrong"),
        ("0.5 mg", "0.5 mg/kg", "unparsed"),  # the one contains the other
        ("0.5 mg", "0.5 g", "wrong"),
        ("500 mg/day", "0.5 g", "wrong"),
        ("60 minutes", "1 hour", "wrong"),
        ("250.00", "250.0", "unparsed"),  # two codes
        ("7", "007", "wrong"),
        ("1", "100%", "unparsed"),
        ("75%", "0.75", "unparsed"),
        ("75%", "75", "unparsed"),
        ("0.33", r"\frac{1}{3}", "wrong"),
        (r"\frac{1}{3}", "0.333333", "wrong"),
        (r"\frac{1}{0}", "1", "unparsed"),
        (r"1\frac{1}{2}", "0.5", "wrong"),
        (r"1\frac{1}{2}", "5.5", "wrong"),
        ("3-4", "-1", "wrong"),
        ("3:4", "0.75", "wrong"),
        ("5 to 6", "5", "unparsed"),
        (r"\frac{3}{4}", "0.75 or 0.8", "unparsed"),
        (r"\frac{3}{4}", "about 0.75", "wrong"),
        ("T4", "4", "wrong"),
        ("105", "10^5", "wrong"),
    ],
)
def test_what_is_not_surely_equal_is_never_correct(gold, answer, verdict):
    assert judged(gold, answer) == verdict


def test_a_share_may_be_a_fraction_a_decimal_or_in_percent():
    forms = ("3/4", r"\frac{3}{4}", "0.75", "0.750", r"75\%", "75 percent", "6/8")
    for gold in forms:
        for answer in forms:
            assert judged(gold, answer, SHARE) == "correct", (gold, answer)
        for answer in ("4/3", "0.7", r"7.5\%", "75"):
            assert judged(gold, answer, SHARE) != "correct", (gold, answer)
    # What the last sentence asks for counts.
    assert judged("3/4", "0.75", "The probability is low. On which date was it?") == "unparsed"


def test_an_alias_that_is_a_number_counts():
    assert judged("three quarters", r"\frac{3}{4}") == "wrong"
    assert judged("three quarters", r"\frac{3}{4}", aliases=("0.75",)) == "correct"


def decimal(number):
    """Return a fraction as a decimal, or None where it has no end."""
    for digits in range(9):
        if (number * 10**digits).denominator == 1:
            return f"{float(number):.{digits}f}" if digits else str(number.numerator)
    return None


def forms_of(number, factor):
    """Return spellings of a number of which none may mean another thing."""
    top, bottom = number.numerator, number.denominator
    sign, size = "-" if top < 0 else "", abs(top)
    found = [
        rf"\frac{{{top}}}{{{bottom}}}",
        rf"{sign}\dfrac{{{size * factor}}}{{{bottom * factor}}}",
        rf"$\tfrac{{{top}}}{{{bottom}}}$",
    ]
    for power in (0, 1, 2):
        if mantissa := decimal(number / 10**power):
            found.append(rf"{mantissa} \times 10^{{{power}}}")
    return found


NUMBERS = st.fractions(-2000, 2000, max_denominator=400)


@given(number=NUMBERS, factor=st.integers(1, 9), data=st.data())
def test_a_number_equals_itself_in_every_sure_form(number, factor, data):
    forms = forms_of(number, factor)
    gold, answer = data.draw(st.sampled_from(forms)), data.draw(st.sampled_from(forms))
    assert judged(gold, answer) == "correct"
    if plain := decimal(number):
        assert judged(gold, plain) == judged(plain, gold) == "correct"


@given(one=NUMBERS, other=NUMBERS, factor=st.integers(1, 9), text=st.sampled_from([SHARE, OTHER]), data=st.data())
def test_two_numbers_are_never_equal(one, other, factor, text, data):
    assume(one != other)
    loose = [[f"{n.numerator}/{n.denominator}", *filter(None, [decimal(n)])] for n in (one, other)]
    gold = data.draw(st.sampled_from([*forms_of(one, factor), *loose[0]]))
    answer = data.draw(st.sampled_from([*forms_of(other, factor), *loose[1]]))
    assert judged(gold, answer, text) != "correct"


@given(top=st.integers(1, 400), bottom=st.integers(1, 400))
def test_a_slashed_gold_is_no_decimal(top, bottom):
    """A blood pressure, a date, a grade."""
    if plain := decimal(Fraction(top, bottom)):
        assert judged(f"{top}/{bottom}", plain) == "unparsed"
        assert judged(f"{top}/{bottom}", f"{plain} mmHg") != "correct"


@pytest.mark.parametrize("gold", ["1e28", "1e30", "-1e40", "1" + "0" * 29, "1e999"])
def test_a_gold_number_may_be_of_any_size(gold):
    asked = question("numeric", gold, text=OTHER)
    assert check_response(asked, "\\boxed{5}", "stop").verdict == "wrong"
    assert gold == "1e999" or check_response(asked, f"\\boxed{{{gold}}}", "stop").verdict == "correct"
