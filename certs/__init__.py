"""Certificate profiles, and a small authority for development and demonstrations. Never private keys."""
