"""An epoch of the logs: the signer forgets what two persons declared lost, exactly that, and changes its key."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.audit.checkpoint import master_origin, partner_origin
from gateway.errors import AuditBroken, Conflict, GatewayError, RequestInvalid, RoleMissing
from gateway.flow.change import digest
from gateway.model.epoch import LOGS, Epoch, KeptLog
from gateway.model.party import KeyRecord
from gateway.model.signing import CheckpointRequest
from gateway.service.signer.trust import Head
from tests.policy.worlds import NOW, OURS, POLICE
from tests.signer.test_trust import ONE, made
from tests.signer.world import Disk, authority, disk

MASTER, PARTNER = master_origin(OURS), partner_origin(OURS, POLICE)
KEY = KeyRecord(kid="log-2", use="log", alg="Ed25519", public="A" * 43)
ROOT = "ab" * 32


def held() -> Disk:
    """A signer that signed 10 entries of the master log and 5 about the partner."""
    kept = disk()
    heads = {MASTER: Head(10, bytes(32)), PARTNER: Head(5, bytes(32))}
    kept.replace("heads.json", msgspec.json.encode(heads))
    return kept


def epoch(**changes: Any) -> Epoch:
    """A declaration that loses two entries of the log about the partner, and none of the master log."""
    logs = (KeptLog(MASTER, 12, ROOT, 12), KeptLog(PARTNER, 3, ROOT, 5))
    honest = Epoch(1, OURS, 2, "loss", "2026-11-21T21:00:00Z", KEY, logs)
    return msgspec.structs.replace(honest, **changes)


def test_two_persons_shorten_what_they_declare() -> None:
    """The log that lost entries goes on from what is kept, with its declared root; the other from where it stood."""
    kept = held()
    file = kept.open()
    file.change(made("epoch", LOGS, epoch()), now=NOW)
    assert file.heads == {MASTER: Head(10, bytes(32)), PARTNER: Head(3, bytes.fromhex(ROOT))}
    assert len(file.trust.epochs) == 1
    assert kept.open().heads == file.heads


def test_a_log_of_which_nothing_is_kept_begins_anew() -> None:
    """Its head is gone: the next one is a first head again."""
    file = held().open()
    lost = epoch(logs=(KeptLog(MASTER, 12, ROOT, 12), KeptLog(PARTNER, 0, ROOT, 5)))
    file.change(made("epoch", LOGS, lost), now=NOW)
    assert set(file.heads) == {MASTER}


LESS: dict[str, tuple[dict[str, Any], type[GatewayError]]] = {
    "of another organisation": ({"org": POLICE}, RequestInvalid),
    "the epoch after the next": ({"number": 3}, Conflict),
    "a log left out": ({"logs": (KeptLog(MASTER, 12, ROOT, 12),)}, AuditBroken),
    "less than was signed": ({"logs": (KeptLog(MASTER, 12, ROOT, 12), KeptLog(PARTNER, 3, ROOT, 4))}, AuditBroken),
    "a log twice": ({"logs": (*epoch().logs, KeptLog(PARTNER, 3, ROOT, 5))}, RequestInvalid),
    "more kept than known": ({"logs": (KeptLog(MASTER, 12, ROOT, 11), KeptLog(PARTNER, 3, ROOT, 5))}, RequestInvalid),
    "a loss as a change of keys": ({"reason": "rotation"}, RequestInvalid),
}  # fmt: skip


@pytest.mark.parametrize("case", LESS)
def test_a_declaration_that_says_less_is_refused(case: str) -> None:
    """And nothing is forgotten."""
    changes, refusal = LESS[case]
    kept = held()
    before = dict(kept.files)
    with pytest.raises(refusal):
        kept.open().change(made("epoch", LOGS, epoch(**changes)), now=NOW)
    assert kept.files == before


def test_one_person_declares_nothing() -> None:
    """Nor two signatures of which one is over another document."""
    kept = held()
    for change in (made("epoch", LOGS, epoch(), by=ONE), made("epoch", "other", epoch())):
        with pytest.raises((RoleMissing, RequestInvalid)):
            kept.open().change(change, now=NOW)
    assert kept.open().heads[PARTNER].size == 5


def test_what_was_opened_does_not_open_twice() -> None:
    """The same change again is done already; another of the same number was made against a state that is gone."""
    kept = held()
    file, change = kept.open(), made("epoch", LOGS, epoch())
    file.change(change, now=NOW)
    file.change(change, now=NOW)
    assert file.trust.epochs == (digest(change.document),)
    with pytest.raises(Conflict):
        file.change(made("epoch", LOGS, epoch(), id="change-2"), now=NOW)


def test_the_old_key_signs_no_head_of_the_new_epoch() -> None:
    """A signer that ran while another epoch was opened has to start again."""
    kept = held()
    running = authority(kept)
    running.trust.change(made("epoch", LOGS, epoch()), now=NOW)
    with pytest.raises(AuditBroken, match="start again"):
        running.checkpoint(CheckpointRequest(PARTNER, 3, bytes.fromhex(ROOT), 3, ()))
