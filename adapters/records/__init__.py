"""Local systems' records to canonical records; raise RecordInvalid only."""
