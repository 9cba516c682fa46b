"""The proof room: entries, the tree over them, signed checkpoints, the offline verifier and the export form.

Everything here is pure: bytes in, bytes or proof objects out. Whatever does not hold raises
:class:`gateway.errors.AuditBroken`, whose ``diagnostic["rule"]`` names the rule that failed; nothing here
knows *whose* log it looks at, so a caller that checks what a partner sent turns that error into a
``PartnerFault`` itself: a partner's bad proof quarantines the partner's message, only our own broken log
stops the gateway.

Hashing follows RFC 9162 §2.1 with SHA-256; storage, checkpoints and exports follow C2SP tlog-tiles,
tlog-checkpoint and signed-note, so that other people's tools can read and verify a log of ours.
"""
