"""The main job on one machine: train, convert, split, serve and stream real handwritten digits."""
