"""Programs that run as they stand, to learn from."""
