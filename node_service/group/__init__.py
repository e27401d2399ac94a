"""A stage that a group of boards serves: each does its share of a frame, and pieces of tensors go from board to board."""
