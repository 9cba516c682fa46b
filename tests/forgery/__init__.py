"""Hostile messages, signed objects in the wrong place and JOSE vectors, against the real gateway.

``python -m tests.forgery`` prints one JSON document and exits 1 on a breach;
``python -m tests.forgery.vectors FILE...`` says of each JOSE vector whether the product's readers accept it.
"""
