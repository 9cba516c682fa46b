"""Register and account numbers in a text, told by their check digits, in any usual spelling.

The Belgian national register number (royal decree of 3.4.1984) and the BIS number, whose month is 20 or 40 higher; the
account number IBAN (ISO 13616). What has no check digits, a passport number, cannot be told from another number.
"""

import re
import unicodedata
from collections.abc import Iterator

_DIGITS = 11  # of a register number: birth date, series, check
_MONTHS = frozenset(month + more for more in (0, 20, 40) for month in range(13))  # 0: not known
_GAP = re.compile(r"[\W_]+")  # what stands between two groups of one number
_IBAN = re.compile(r"(?<![0-9a-z])[a-z]{2}[0-9]{2}", re.ASCII)
_GROUP = re.compile(r"[0-9a-z]+", re.ASCII)
_IBAN_SIGNS = range(15, 35)


def register_numbers(text: str) -> frozenset[str]:
    """Every register or account number in the text, each as its bare signs."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    plain = folded.translate(_PLAIN)
    return frozenset([*_national(plain), *_accounts(plain)])


class _Plain(dict[int, str]):
    """Digits of any script as ASCII, what nobody sees left out; worked out when a sign is first met."""

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        category = unicodedata.category(sign)
        digit = unicodedata.decimal(sign, -1)
        hidden = category == "Cf" or category[0] == "M"
        self[code] = "" if hidden else sign if digit < 0 else str(digit)
        return self[code]


_PLAIN = _Plain()  # grows to one entry for each character of Unicode at most, and says nothing of any text


def _national(text: str) -> Iterator[str]:
    """Runs of digits, alone or with neither letter nor digit between them, that make a number with its check."""
    groups = [(found.start(), found.end()) for found in re.finditer(r"[0-9]+", text)]
    for first, (start, _) in enumerate(groups):
        digits, end = "", start
        for begin, after in groups[first:]:
            if digits and not _GAP.fullmatch(text, end, begin):
                break
            digits, end = digits + text[begin:after], after
            if len(digits) >= _DIGITS:
                break
        if len(digits) == _DIGITS and _is_national(digits):
            yield digits


def _is_national(digits: str) -> bool:
    """Whether birth date and check digits are those of a register or BIS number of either century.

    A month or day that is not known is 00.
    """
    month, day = int(digits[2:4]), int(digits[4:6])
    if month not in _MONTHS or day > 31:
        return False
    return any(97 - int(century + digits[:9]) % 97 == int(digits[9:]) for century in ("", "2"))


def _accounts(text: str) -> Iterator[str]:
    """An IBAN in one piece or in groups of four, as it is printed."""
    for start in _IBAN.finditer(text):
        signs, end = "", start.start()
        for group in _GROUP.finditer(text, start.start()):
            if signs and not (len(signs) % 4 == 0 and _GAP.fullmatch(text, end, group.start())):
                break
            signs, end = signs + group.group(), group.end()
            if len(signs) in _IBAN_SIGNS and _is_account(signs):
                yield signs
            if len(signs) >= _IBAN_SIGNS.stop or (len(group.group()) != 4 and group.start() > start.start()):
                break


def _is_account(signs: str) -> bool:
    """ISO 7064 MOD 97-10 over the signs with the first four last, letters as 10 to 35."""
    return int("".join(str(int(sign, 36)) for sign in signs[4:] + signs[:4])) % 97 == 1
