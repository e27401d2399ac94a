"""A door for clients of the Open Inference Protocol: chains of boards that look like any inference server."""
