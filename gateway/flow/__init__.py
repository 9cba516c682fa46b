"""What happens next: pure functions over nouns. They say what to do; the service does it."""
