"""The service: listeners, dispatcher, signer process, keeper, and the wiring that picks adapters."""
