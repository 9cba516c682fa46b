"""`ecluse doctor`: one screen for the operator."""

from gateway.cli.audit import stored
from gateway.cli.shared import BROKEN, DONE, NEGATIVE, Answer, Place, group, local, table

commands = group("The state of a home.")


@local(commands, "doctor")
def doctor(place: Place) -> Answer:
    """Look over a home, beside a running gateway or without one: what needs a hand, in counts and ids alone.

    \b
    Schema and configuration; keys, certificates and revocation lists that end or are late; age of the wrapping key;
    logs against the signer's heads; how long no partner, time-stamp or reviewer has seen a head; when the newest
    time-stamp must be renewed; declared losses, and partners not asked since (`ecluse reconcile`); clocks of partners
    against ours; lanes held; quarantine of a week; clocks of the law that ran out; disk space. Whether the logs hold
    from their first entry says `ecluse audit verify`.

    \b
    Exit codes: 0 all is well; 1 something needs a hand; 2 no home, or a file of it cannot be read; 3 the database
    cannot be opened; 4 the proof is broken: the gateway does not start.
    """
    from gateway.service.app import now
    from gateway.service.config import load_config
    from gateway.service.doctor import Doctor
    from gateway.service.provision import require_schema

    place.home.require()
    loaded = load_config(place.home.config)
    with stored(place) as tx:
        require_schema(tx)
        checks = list(Doctor(place.home, loaded, tx, now()).look())
    states = {one.state for one in checks}
    code = BROKEN if "broken" in states else NEGATIVE if "finding" in states else DONE
    rows = [(one.state, one.name, one.count, one.detail or " ".join(one.ids)) for one in checks]
    text = [table(("", "check", "count", ""), rows), ("all is well", "findings")[code > DONE]]
    return Answer({"healthy": code == DONE, "checks": checks}, text, code)
