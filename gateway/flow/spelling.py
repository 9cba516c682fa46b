"""Names as words and as sounds: one form for the spellings that one name has in several scripts.

No transliteration standard is followed, and none can be read back: the forms are for comparing only. Vowels, doubled
letters and what one script cannot tell apart (p and b, v and f in Arabic) fall together, so equal sounds are a reason
to look, never a proof.
"""

from __future__ import annotations

import re
import unicodedata

#: Words that say how a name is built, not whose it is: articles, "son of", "father of", nobiliary particles.
_PARTICLES = frozenset((
    "al", "el", "ul", "abu", "abou", "abi", "abw", "umm", "um", "bin", "ben", "ibn", "bn", "abn", "bint", "ould",
    "van", "von", "der", "den", "de", "du", "da", "dos", "la", "le", "y", "und", "aka", "mr", "mrs",
))  # fmt: skip

#: Letter and Latin spelling, close enough to compare by sound.
_TABLES = (
    # Cyrillic: Russian, Ukrainian, Bulgarian, Serbian
    """а a б b в v г g д d е e з z и i к k л l м m н n о o п p р r с s т t у u ф f х kh ы y э e і i ґ g є e ї i
    ж zh ц ts ч ch ш sh щ sh ю u я a ј j ђ d ћ c љ l њ n џ dj""",
    # Greek
    """α a β v γ g δ d ε e ζ z η i θ th ι i κ k λ l μ m ν n ξ x ο o π p ρ r σ s ς s τ t υ i φ f χ kh ψ ps ω o""",
    # Arabic, with the letters of Persian and Urdu
    """ا a ب b ت t ث th ج j ح h خ kh د d ذ dh ر r ز z س s ش sh ص s ض d ط t ظ z ع a غ gh ف f ق q ك k ل l م m ن n
    ه h و w ي y ة h ى a پ p چ ch ژ zh گ g ک k ی y ھ h ہ h ے y ٹ t ڈ d""",
    # Latin letters that no decomposition takes apart
    """ß ss æ ae œ oe ø o ð d þ th ł l đ d ı i ə a""",
)
_LATIN = {
    ord(letter): latin
    for table in _TABLES
    for letter, latin in zip(table.split()[::2], table.split()[1::2], strict=True)
}
#: Signs that stand for no sound of their own: Cyrillic hard and soft sign, hamza, tatweel, apostrophes.
_LATIN |= dict.fromkeys(map(ord, "ъьءـ'’ʼ`ʿʾ"), "")

#: Joiners and directional marks: they stand between letters of one word.
_HIDDEN = frozenset("\u00ad\u061c\u200b\u200c\u200d\u200e\u200f\u2060\ufeff")

_ARTICLE = re.compile("^ال(?=.{3})")
#: Abdul Rahman, Abdel-Rahman, Abdurrahman, عبد الرحمن: "servant of", its article sounding as the next letter does.
_SERVANT = re.compile("abd(?:[aeiou]?[lrnszdt])?")
_SERVANT_OF = re.compile(
    r"^abd(?:[aeiou]?([lrnszdt])(?=\1)|[aeiou]?l(?=[^aeiou])|[aeiou]l(?=[aeiou]))?(?=.{3})"
)

#: Letters of one sound: first the groups, then the single ones, then every vowel but a first one.
_GROUPS = {
    **dict.fromkeys(("sch", "tch", "sh", "ch", "cz", "sz", "ts", "tz"), "s"),
    **dict.fromkeys(("dzh", "dj", "zh", "gh"), "g"),
    "kh": "h", "ph": "f", "th": "t", "dh": "d", "ck": "k",
}  # fmt: skip
_GROUP = re.compile("|".join(sorted(_GROUPS, key=len, reverse=True)))
_SINGLE = str.maketrans({"j": "g", "q": "k", "c": "k", "x": "ks", "z": "s", "p": "b", "v": "f"})
_VOWELS = dict.fromkeys(map(ord, "aeiouyw"))
_FIRST = str.maketrans("eiouyw", "aaaaaf")
_DOUBLED = re.compile(r"(.)\1+")


def words_of(text: str) -> tuple[str, ...]:
    """The words of a name in folded Latin letters, without particles unless there is nothing else."""
    found = _split(text)
    return tuple(word for word in found if word not in _PARTICLES) or found


def joined_words_of(text: str) -> tuple[str, ...]:
    """The same words, each with the particles before it: Ben Ali as benali, van den Berg as vandenberg."""
    found: list[str] = []
    before = ""
    for word in _split(text):
        if word in _PARTICLES:
            before += word
        else:
            found.append(before + word)
            before = ""
    return (*found, before) if before else tuple(found)


def unread(text: str) -> bool:
    """Whether the text has letters of a script without a table here: they agree only with themselves."""
    return any(not word.isascii() for word in _split(text))


def _split(text: str) -> tuple[str, ...]:
    folded = text.casefold()
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
        folded = "".join(sign for sign in decomposed if unicodedata.category(sign)[0] != "M")
    letters = "".join(
        sign if sign.isalnum() or ord(sign) in _LATIN else " " for sign in folded if sign not in _HIDDEN
    )
    found: list[str] = []
    for raw in letters.split():
        word = _ARTICLE.sub("", raw).translate(_LATIN)
        if found and word and _SERVANT.fullmatch(found[-1]):
            found[-1] = "abd" + word
        elif word:
            found.append(_SERVANT_OF.sub("abd", word))
    return tuple(found)


def sound_of(word: str) -> str:
    """The sound of one of `words_of`; the word itself where less than two letters would be left."""
    plain = _GROUP.sub(lambda group: _GROUPS[group.group()], word).translate(_SINGLE)
    rest = plain[1:].translate(_VOWELS).removesuffix("h")  # a last h is written or not: Abdulla, Abdullah
    sound = _DOUBLED.sub(r"\1", plain[0].translate(_FIRST) + rest)
    return sound if len(sound) > 1 else word


def initial_of(word: str) -> str:
    """The first letter of one of `words_of`, as a name shortened to it would begin: ``y`` and ``i`` are one."""
    return word[0].translate(_SINGLE).translate(_FIRST)
