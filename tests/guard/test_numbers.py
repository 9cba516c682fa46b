"""Register and account numbers are known by their check digits, wherever they stand in folded words."""

from __future__ import annotations

import pytest

from gateway.guard.numbers import numbers_in

#: Made up; the check digits are worked out.
BORN_85, BORN_01 = "85073003328", "01073003339"
ACCOUNT = "be68539007547034"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (BORN_85, {BORN_85}),
        (BORN_01, {BORN_01}),  # of the years from 2000: a two stands before the nine digits
        ("85 07 30 033 28", {BORN_85}),
        ("8 5 0 7 3 0 0 3 3 2 8", {BORN_85}),
        (f"rrn{BORN_85}bel", {BORN_85}),
        (f"1 {BORN_85}", {BORN_85}),
        (f"{BORN_85} 1", {BORN_85}),
        (f"12 {BORN_85} 12", {BORN_85}),
        (f"{BORN_85} {BORN_01}", {BORN_85, BORN_01}),
        (f"{BORN_85} or {BORN_01}", {BORN_85, BORN_01}),
        (f"{BORN_85} {ACCOUNT}", {BORN_85, ACCOUNT}),
        ("85073006197", {"85073006197"}),  # check digits 97: the nine digits leave no rest
        (f"1{BORN_85}", set()),
        (f"{BORN_85}1", set()),
        ("850730033028", set()),  # a digit more, and the last three say the same number as its check digits
        ("8507300 332", set()),
        ("85073x003328", set()),
        ("8507300332q", set()),  # eleven signs, one of them a letter
        ("85 07 30 and 033 28", set()),
        ("85073003327", set()),
        ("85073003329", set()),
        ("", set()),
    ],
)
def test_a_register_number_is_eleven_digits_of_whole_runs(words: str, found: set[str]) -> None:
    """From the start of a run to the end of one, blanks alone between them, and with its check digits."""
    assert numbers_in(words) == found


@pytest.mark.parametrize(
    ("digits", "known"),
    [
        ("85123103333", True),
        ("85130103367", False),  # no thirteenth month
        ("85000003306", True),  # a day of birth that is not known
        ("85190103312", False),
        ("85200103319", True),  # a BIS number, the sex not known
        ("85323103376", True),
        ("85330103313", False),
        ("85390103355", False),
        ("85400103362", True),  # a BIS number, the sex known
        ("85523103322", True),
        ("85530103356", False),
        ("85073203365", False),  # no thirty-second day
        ("01123103344", True),
        ("01130103378", False),
        ("01073203376", False),
    ],
)
def test_a_register_number_begins_with_a_date(digits: str, known: bool) -> None:
    """Months to twelve, or as many above twenty or forty, days to thirty-one; the check digits are right in each."""
    assert numbers_in(digits) == ({digits} if known else set())


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (ACCOUNT, {ACCOUNT}),
        ("be68 5390 0754 7034", {ACCOUNT}),
        ("be68 5390 0754 7034 call him", {ACCOUNT}),
        ("account be68 5390 0754 7034", {ACCOUNT}),
        ("iban be68 5390 0754 7034 of he68", {ACCOUNT}),
        ("zz51a9z01234567", {"zz51a9z01234567"}),  # fifteen signs, letters from a to z among them
        ("zz51 a9z0 1234 567", {"zz51a9z01234567"}),  # the last group is shorter
        ("zz64a9z0123456", set()),  # fourteen
        ("zz54a9z0123456789a9z0123456789a9z0", {"zz54a9z0123456789a9z0123456789a9z0"}),  # thirty-four
        ("zz16a9z0123456789a9z0123456789a9z01", set()),  # thirty-five
        ("be68539007547035", set()),
        ("be69539007547034", set()),
        ("be68 539 0075 4703 4", set()),  # a shorter group before the last
        ("be68 53900 7547 034", set()),  # a longer one
        ("be68 53900754 7034", set()),  # two groups without the blank
        ("be68 5390 abcdefgh 0754 7034", set()),  # a word between the groups
        ("be 68 5390 0754 7034", set()),
        ("1e29539007547034", set()),  # no country
        ("e145539007547034", set()),
        ("be1a539007547035", set()),  # no check digits
        ("beb0539007547035", set()),
        ("αα68539007547034", set()),
        ("be68 5390 0754 703α", set()),
        ("be68 5390 0754 703α be68 5390 0754 7034", {ACCOUNT}),
        ("", set()),
    ],
)
def test_an_account_number_is_one_piece_or_groups_of_four(words: str, found: set[str]) -> None:
    """Country, two check digits, and as many signs as ISO 13616 allows; other letters than a to z are no account."""
    assert numbers_in(words) == found
