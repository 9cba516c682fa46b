"""Findings of reviewers: what one of them says of an entry or a release, what the house answers, and its end.

Each step is a document that its author signs, and names the step before: nobody puts words into another's mouth.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

#: How grave: ``critical`` the law was broken, ``major`` a rule of the house was, ``minor`` a slip, or a ``remark``.
Severity = Literal["critical", "major", "minor", "remark"]

#: What is done in a step: a reviewer finds, the house answers, a reviewer closes.
Step = Literal["find", "answer", "close"]

#: Characters of a step's text: some pages.
MAX_TEXT = 20_000

_Digest = Annotated[str, msgspec.Meta(pattern=r"^(?:[0-9a-f]{64})?\Z")]


class FindingStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step; its RFC 8785 bytes are signed. ``about`` is ``entry N`` of the master log, or a release."""

    v: Literal[1]
    home: str
    finding: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]
    step: Step
    about: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    severity: Severity
    text: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
    before: _Digest  # of the step before; empty of the first
    by: str  # officer id
    nonce: Annotated[
        str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{43}\Z")
    ]  # 32 random bytes: the digest tells no text
