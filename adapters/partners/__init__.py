"""Transports to partners; safe to repeat."""
