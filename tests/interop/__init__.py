"""Partners in other languages, written from docs/partner-protocol.md alone, against a real gateway."""
