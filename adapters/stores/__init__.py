"""Where messages, entries and bodies are kept."""
