"""Notes in somebody's own words: JSON lines with labels, and e-mail files without."""
