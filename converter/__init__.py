"""Turns Keras models, SavedModels and TFLite files into bundles of partition files."""
