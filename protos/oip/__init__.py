"""The Open Inference Protocol: contracts of others, which clients of all makers speak."""
