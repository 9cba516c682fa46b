"""Who may call which operation of the desk."""

from typing import get_args

from gateway.model.officer import Role

ROLES: tuple[Role, ...] = get_args(Role)

#: Who may do what: the whole table, as a compliance officer would read it.
ALLOWED: dict[str, set[str]] = {
    "status": set(ROLES),
    "records/import": {"requester"},
    "records/list": {"requester", "approver", "reviewer", "inbox"},
    "records/show": {"requester", "approver", "reviewer", "inbox"},
    "records/purge": {"requester", "security-officer"},
    "records/remove": {"requester", "approver"},
    "records/complete": {"requester", "approver"},
    "records/matches": {"requester", "approver", "reviewer", "inbox"},
    "releases/preview": {"requester", "approver", "reviewer", "inbox"},
    "releases/prepare": {"requester"},
    "releases/endorse": {"requester"},
    "releases/show": {"requester", "approver", "reviewer", "inbox"},
    "releases/approve": {"approver"},
    "releases/reject": {"approver"},
    "releases/cancel": {"requester", "approver"},
    "recalls/prepare": {"requester", "approver"},
    "recalls/endorse": {"requester", "approver"},
    "notices/list": {"requester", "approver", "reviewer", "inbox"},
    "notices/prepare": {"requester"},
    "queue/list": {"requester", "approver", "reviewer", "inbox", "operator"},
    "queue/hold": {"approver", "operator"},
    "queue/resend": {"approver", "operator"},
    "queue/skip": {"approver"},
    "inbox/list": {"requester", "approver", "reviewer", "inbox"},
    "inbox/show": {"requester", "approver", "reviewer", "inbox"},
    "inbox/recall": {"inbox"},
    "inbox/quarantine": {"requester", "approver", "reviewer", "inbox"},
    "messages/trace": {"requester", "approver", "reviewer", "inbox", "operator"},
    "officers/list": {"security-officer", "reviewer"},
    "partners/list": set(ROLES),
    "agreements/list": set(ROLES),
    "changes/draft": {"security-officer"},
    "changes/propose": {"security-officer"},
    "changes/approve": {"security-officer"},
    "changes/reject": {"security-officer"},
    "changes/list": {"security-officer", "reviewer"},
    "changes/show": {"security-officer", "reviewer"},
    "embargoes/add": {"requester", "approver", "security-officer"},
    "embargoes/list": {"requester", "approver", "reviewer", "inbox", "security-officer"},
    "changes/before": {"security-officer", "reviewer"},
    "policy/explain": set(ROLES),
    "policy/decided": {"requester", "approver", "reviewer", "inbox"},
    "policy/show": {"security-officer", "reviewer"},
    "policy/replay": {"security-officer", "reviewer"},
    "audit/logs": {"requester", "approver", "reviewer", "inbox", "operator", "security-officer"},
}
