"""Numbers that tell who somebody is by their check digits alone: register and BIS numbers, accounts.

The policy looks for them in another way: two readers, one law.
"""

from collections.abc import Iterator

_NATIONAL = 11  # digits of a register number
_IBAN = range(15, 35)  # signs of an account number (ISO 13616)
_PRINTED = 4  # signs of a group, as an account number is printed


def numbers_in(words: str) -> frozenset[str]:
    """Every register or account number in folded words: digits ASCII, letters lower case, one blank between words."""
    return frozenset([*_national(words), *_accounts(words.split())])


def _national(words: str) -> Iterator[str]:
    """Eleven digits from the start of a run to the end of one, with blanks alone between the runs."""
    chains = "".join(sign if sign in "0123456789 " else "x" for sign in words).split("x")
    for runs in (chain.split() for chain in chains):
        for first in range(len(runs)):
            joined = ""
            for run in runs[first:]:
                joined += run
                if len(joined) >= _NATIONAL:
                    break
            if len(joined) == _NATIONAL and _checked(joined):
                yield joined


def _checked(digits: str) -> bool:
    """Birth date and check digits of a register number, or of a BIS number, whose month is 20 or 40 more."""
    month, day, check = int(digits[2:4]), int(digits[4:6]), int(digits[9:])
    dated = day <= 31 and any(0 <= month - more <= 12 for more in (0, 20, 40))
    born = int(digits[:9])
    return dated and check in (97 - born % 97, 97 - (2_000_000_000 + born) % 97)


def _accounts(words: list[str]) -> Iterator[str]:
    """An account number in one piece, or printed in groups of four of which the last may be shorter."""
    for first, head in enumerate(words):
        if not (head.isascii() and head[:2].isalpha() and head[2:4].isdigit()):
            continue
        number = ""
        for word in words[first:]:
            if number and (len(number) % _PRINTED or len(word) > _PRINTED or not word.isascii()):
                break
            number += word
            if len(number) in _IBAN and _mod97(number) == 1:
                yield number


def _mod97(number: str) -> int:
    """ISO 7064 MOD 97-10, the first four signs last, letters as 10 to 35."""
    rest = 0
    for sign in number[4:] + number[:4]:
        value = int(sign, 36)
        rest = (rest * (100 if value > 9 else 10) + value) % 97
    return rest
