"""Message formats: a released message to a partner's format and back, sans-I/O."""
