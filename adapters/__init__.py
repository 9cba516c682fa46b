"""One file per outside thing; adapters are strangers to each other and never sign, decide or log content."""
