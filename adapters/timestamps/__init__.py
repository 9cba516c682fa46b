"""Outside anchors in time for checkpoints."""
