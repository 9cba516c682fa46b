"""The nouns. Frozen types over the standard library and msgspec; nothing here decides, renders, signs or stores."""
