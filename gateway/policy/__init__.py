"""Facts, rules, the decision and its reasons."""
