"""The signer: its own process, the only holder of signing, opening and wrapping keys; no network, no plug-ins."""
