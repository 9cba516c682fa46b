"""Bytes and nouns: strict readers, signatures, sealed messages, receipts, and the native format.

Everything here is pure: bytes in, frozen nouns out, or an error of `gateway.errors`. Nothing reads a clock; the one
use of chance is inside the encryption of `cryptography`.
"""
