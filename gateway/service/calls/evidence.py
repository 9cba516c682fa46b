"""Calls about evidence packs."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.service.calls import Params

#: Who may be given a pack: the bodies that oversee us (law 18.7.1991, law 30.7.2018), or a court.
Body = Literal["comite-p", "comite-r", "coc", "court"]


class MakePack(Params, frozen=True):
    """A pack of these messages (release id, message id, or ``ORG/ID`` of one received) for one body.

    ``authority`` is the reference of what entitles it. ``court`` is the organisation id of the court, which consents
    of originators name; of a pack for a court and of no other.
    """

    messages: tuple[str, ...]
    body: Body
    authority: str
    court: str = ""


class Blocked(msgspec.Struct, frozen=True):
    """An item that no court may be shown yet, and the rule that says so; never a value."""

    message: str
    pointer: str
    rule: Literal["classified", "handling.judicial-use", "label.orcon"]
    originators: tuple[str, ...]  # whose recorded consent would open it; empty: nobody's


class PackView(msgspec.Struct, frozen=True):
    """The files of a pack, by name; none when something blocks it."""

    files: dict[str, bytes]
    blocked: tuple[Blocked, ...] = ()
    withheld: int = 0  # records sealed to the oversight key
    not_covered: tuple[str, ...] = ()  # what the pack cannot show: codes, as in its cover statement
