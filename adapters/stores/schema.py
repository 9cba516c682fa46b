"""The tables: one for each row type of `gateway.model.rows`, under the same column names.

Types. Instants are whole seconds since 1970-01-01T00:00:00Z, flags are 0 or 1, tuples of text are JSON arrays. Tables
are STRICT: a value of another type is refused, never coerced.

Keys. Narrow tables whose key is text live inside their key's tree (WITHOUT ROWID), and so end each of their indexes in
the primary key. Tables that carry blobs do not: a blob in the key's tree would leave a handful of keys to a page.

There are no foreign keys: erasure destroys a data key and leaves what was under it to be purged later.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Table

from adapters.stores.books import BOOKS
from adapters.stores.columns import Texts
from adapters.stores.columns import blob as _blob
from adapters.stores.columns import flag as _flag
from adapters.stores.columns import instant as _instant
from adapters.stores.columns import integer as _integer
from adapters.stores.columns import narrow as _narrow
from adapters.stores.columns import text as _text
from adapters.stores.columns import wide as _wide
from adapters.stores.finds import FINDS
from adapters.stores.said import SAID
from gateway.model import case_rows, rows

#: Version of these tables, kept in `meta`. A database of another version is migrated, never opened as it is.
SCHEMA_VERSION: Final = "17"

# --- bodies and records ----------------------------------------------------------------------------------------------

_keys = _narrow(
    "data_keys",
    _text("id", key=True),
    _blob("wrapped"),
    _instant("created"),
)

_bodies = _wide(
    "bodies",
    _text("id", key=True),
    _text("key"),
    _blob("ciphertext"),
)
Index("bodies_by_key", _bodies.c.key)

_subjects = _narrow(
    "subjects",
    _text("subject", key=True),
    _text("key", key=True),
)
Index("subjects_by_key", _subjects.c.key)

_records = _narrow(
    "records",
    _text("handle", key=True),
    _integer("version", key=True),
    _flag("latest"),
    _text("kind"),
    _text("subject"),
    _text("fingerprint"),
    _text("key"),
    _text("body"),
    _instant("extracted_at"),
    _instant("imported_at"),
)
Index("records_by_subject", _records.c.subject)
Index("records_by_latest", _records.c.latest, _records.c.kind)

_embargoes = _narrow(
    "embargoes",
    _text("id", key=True),
    _text("subject"),
    _text("authority_sha256"),
    _instant("placed_at"),
    _text("placed_by"),
    _instant("lifted_at", nullable=True),
)
Index("embargoes_by_subject", _embargoes.c.subject)

_grounds = _narrow(
    "grounds",
    _text("id", key=True),
    _text("kind"),
    _text("state"),
    _text("subject"),
    _text("handle"),
    _text("originator"),
    Column("recipients", Texts, nullable=False),
    Column("purposes", Texts, nullable=False),
    Column("data", Texts, nullable=False),
    _text("given"),
    _instant("at"),
    _text("until"),
    _text("sha256"),
    _text("key"),
    _text("body"),
    _text("recorder"),
    _text("person"),
    _instant("recorded_at"),
    _text("confirmer"),
    _instant("confirmed_at", nullable=True),
    _text("withdrawer"),
    _instant("withdrawn_at", nullable=True),
)
Index("grounds_by_subject", _grounds.c.subject, _grounds.c.state)

_consents = _narrow(
    "consents",
    _text("sender", key=True),
    _text("message_id", key=True),
    _instant("received_at"),
    _text("answer"),
)

_ground_uses = _narrow(
    "ground_uses",
    _text("ground", key=True),
    _text("release", key=True),
)
Index("ground_uses_by_release", _ground_uses.c.release)

# --- directory and changes -------------------------------------------------------------------------------------------

_directory = _wide(
    "directory",
    _text("kind", key=True),
    _text("id", key=True),
    _integer("version", key=True),
    _flag("current"),
    _blob("document"),
    _text("sha256"),
    _instant("since"),
    _text("change"),
)
Index("directory_by_current", _directory.c.kind, _directory.c.current)

_changes = _wide(
    "changes",
    _text("id", key=True),
    _text("state"),
    _text("kind"),
    _text("target"),
    _blob("statement"),
    _blob("document"),
    Column("endorsements", Texts, nullable=False),
    _text("proposer"),
    _instant("proposed_at"),
    _instant("decided_at", nullable=True),
)
Index("changes_by_state", _changes.c.state)

# --- outbound --------------------------------------------------------------------------------------------------------

_releases = _narrow(
    "releases",
    _text("id", key=True),
    _text("state"),
    _text("partner"),
    _text("conversation"),
    _text("type"),
    _text("mode"),
    _text("message_id"),
    _text("handle"),
    _text("subject"),
    _text("key"),
    _text("body"),
    _text("requester"),
    _text("person"),
    _instant("created"),
    _instant("not_after"),
    _integer("priority"),
    _text("reason"),
    _instant("ended", nullable=True),
    _text("case_name"),
)
Index("releases_by_state", _releases.c.state)
Index("releases_by_message", _releases.c.message_id)
Index("releases_by_partner", _releases.c.partner, _releases.c.state)
Index("releases_by_handle", _releases.c.handle)
Index("releases_by_case", _releases.c.case_name, sqlite_where=_releases.c.case_name != "")

_endorsements = _narrow(
    "endorsements",
    _text("release", key=True),
    _text("act", key=True),
    _text("officer"),
    _text("person"),
    _text("body"),
    _instant("at"),
)

_reservations = _narrow(
    "reservations",
    _text("partner", key=True),
    _text("about", key=True),
    _text("release", key=True),
    _text("subject"),
    _instant("at"),
    _text("origin"),
    Column("members", Texts, nullable=False),
    _integer("place"),
)
Index("reservations_by_subject", _reservations.c.subject, _reservations.c.partner)
Index("reservations_by_time", _reservations.c.partner, _reservations.c.at)
Index("reservations_by_release", _reservations.c.release)

_tallies = _narrow(
    "tallies",
    _text("holders", key=True),
    _integer("subjects"),
)

_subject_links = _narrow(
    "subject_links",
    _text("subject", key=True),
    _text("counted_as"),
    _instant("at"),
)
Index("subject_links_by_person", _subject_links.c.counted_as)

_subject_acts = _narrow(
    "subject_acts",
    _text("id", key=True),
    _integer("number"),
    _text("act"),
    _text("state"),
    _text("subject"),
    _text("other"),
    _text("handle"),
    _text("other_handle"),
    _text("key"),
    _text("body"),
    _text("proposer"),
    _text("person"),
    _instant("proposed_at"),
    _text("decider"),
    _instant("decided_at", nullable=True),
)
Index("subject_acts_by_state", _subject_acts.c.state, _subject_acts.c.number)

_oral = _narrow(
    "oral",
    _text("id", key=True),
    _text("partner"),
    _text("subject"),
    _text("handle"),
    _instant("at"),
    _flag("breach"),
    _flag("late"),
    _text("sha256"),
    _text("key"),
    _text("body"),
    _text("speaker"),
    _text("recorder"),
    _text("person"),
    _instant("recorded_at"),
    _text("confirmer"),
    _instant("confirmed_at", nullable=True),
)

_strikes = _narrow(
    "strikes",
    _text("oral", key=True),
    _text("body"),
    _text("proposer"),
    _text("person"),
    _instant("proposed_at"),
    _text("confirmer"),
    _instant("confirmed_at", nullable=True),
)

_lanes = _narrow(
    "lanes",
    _text("partner", key=True),
    _text("conversation", key=True),
    _integer("next_seq"),
    _integer("expected"),
    _integer("queued"),
    _integer("position"),
    _instant("due", nullable=True),
    _integer("attempts"),
    _flag("held"),
    _integer("token"),
    _integer("priority"),
)
# Only lanes with work are in these. SQLite sees that `queued >= ?` means the same when 1 is bound, so asking for lanes
# with ``at_least=("queued", 1)`` costs what waits, not what ever was.
Index("lanes_waiting_by_priority", _lanes.c.priority, sqlite_where=_lanes.c.queued >= 1)
Index("lanes_waiting_by_due", _lanes.c.due, sqlite_where=_lanes.c.queued >= 1)

_outbox = _narrow(
    "outbox",
    _text("partner", key=True),
    _text("conversation", key=True),
    _integer("position", key=True),
    _text("message_id"),
    _text("release"),
    _text("type"),
    _text("state"),
    _text("key"),
    _text("body"),
    _integer("seq"),
    _integer("entry"),
    _text("seal"),
    _integer("attempts"),
    _integer("exp"),
    _text("receipt"),
    _text("replaces"),
    _instant("not_before", nullable=True),
)
Index("outbox_by_message", _outbox.c.message_id)
Index("outbox_by_release", _outbox.c.release)
Index("outbox_by_state", _outbox.c.state)

_emergencies = _narrow(
    "emergencies",
    _text("release", key=True),
    _text("oral_approver"),
    Column("waived", Texts, nullable=False),
    _instant("at"),
    _instant("confirm_by", nullable=True),
    _instant("review_by"),
    _instant("confirmed_at", nullable=True),
    _text("reviewer"),
    _text("verdict"),
    _instant("reviewed_at", nullable=True),
    _flag("settled"),
)
Index("emergencies_by_settled", _emergencies.c.settled)

_informs = _narrow(
    "informs",
    _text("release", key=True),
    _text("originator", key=True),
    _instant("informed_at", nullable=True),
    _text("informed_by"),
)
Index("informs_by_time", _informs.c.informed_at)

_recalls = _narrow(
    "recalls",
    _text("direction", key=True),
    _text("partner", key=True),
    _text("message_id", key=True),
    _text("action"),
    _text("replaced_by"),
    _text("recall"),
    _text("release"),
    _instant("at"),
    _text("answer"),
    _text("answered_by"),
    _instant("answered_at", nullable=True),
)

# --- what changed after it was shared ---------------------------------------------------------------------------------

_removals = _narrow(
    "removals",
    _text("handle", key=True),
    _text("fingerprint", key=True),
    _instant("at"),
    _text("because"),
    _text("removed_by"),
)

_looks = _narrow(
    "looks",
    _text("handle", key=True),
)

_notices = _narrow(
    "notices",
    _text("id", key=True),
    _text("state"),
    _text("duty"),
    Column("changes", Texts, nullable=False),
    _text("partner"),
    _text("handle"),
    _text("kind"),
    _text("release"),
    _text("message_id"),
    _instant("since"),
    _instant("due", nullable=True),
    _text("prepared"),
    _instant("ended", nullable=True),
)
Index("notices_by_state", _notices.c.state)
Index("notices_by_handle", _notices.c.handle)

# --- inbound ---------------------------------------------------------------------------------------------------------

_inbox = _narrow(
    "inbox",
    _text("sender", key=True),
    _text("message_id", key=True),
    _text("state"),
    _text("conversation"),
    _integer("seq"),
    _text("type"),
    _text("mode"),
    _text("key"),
    _text("body"),
    _text("receipt"),
    _instant("received_at"),
    _integer("entry"),
    _text("keep_until"),
)
Index("inbox_by_day", _inbox.c.keep_until, sqlite_where=_inbox.c.keep_until >= "0")
Index("inbox_by_conversation", _inbox.c.sender, _inbox.c.conversation, _inbox.c.seq)
Index("inbox_by_state", _inbox.c.state)

_requests = _narrow(
    "requests",
    _text("sender", key=True),
    _text("message_id", key=True),
    _text("urgency"),
    _instant("received_at"),
    _flag("looked"),
    _text("answer"),
)

_receipts = _narrow(
    "receipts",
    _text("id", key=True),
    _text("direction"),
    _text("partner"),
    _text("key"),
    _text("body"),
    _flag("signed"),
    _instant("at"),
)
Index("receipts_by_partner", _receipts.c.partner)
Index("receipts_unsigned", _receipts.c.signed, sqlite_where=_receipts.c.signed == 0)

_quarantine = _narrow(
    "quarantine",
    _text("id", key=True),
    _text("partner"),
    _text("code"),
    _text("digest"),
    _integer("size"),
    _text("body"),
    _instant("at"),
)
Index("quarantine_by_partner", _quarantine.c.partner, _quarantine.c.at)

#: Where each row type is kept.
TABLES: Final[dict[type[rows.Row], Table]] = {
    rows.KeyRow: _keys,
    rows.BodyRow: _bodies,
    rows.SubjectRow: _subjects,
    rows.RecordRow: _records,
    rows.EmbargoRow: _embargoes,
    case_rows.GroundRow: _grounds,
    case_rows.GroundUseRow: _ground_uses,
    case_rows.ConsentRow: _consents,
    **SAID,
    rows.DirectoryRow: _directory,
    rows.ChangeRow: _changes,
    rows.ReleaseRow: _releases,
    rows.EndorsementRow: _endorsements,
    rows.ReservationRow: _reservations,
    rows.TallyRow: _tallies,
    rows.SubjectLinkRow: _subject_links,
    case_rows.SubjectActRow: _subject_acts,
    case_rows.OralRow: _oral,
    case_rows.StrikeRow: _strikes,
    rows.LaneRow: _lanes,
    rows.OutboxRow: _outbox,
    rows.EmergencyRow: _emergencies,
    rows.InformRow: _informs,
    rows.RecallRow: _recalls,
    rows.RemovalRow: _removals,
    rows.LookRow: _looks,
    rows.NoticeRow: _notices,
    rows.InboxRow: _inbox,
    rows.RequestRow: _requests,
    rows.ReceiptRow: _receipts,
    rows.QuarantineRow: _quarantine,
    **BOOKS,
    **FINDS,
}
