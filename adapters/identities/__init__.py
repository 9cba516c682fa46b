"""How an officer proves who is there."""
