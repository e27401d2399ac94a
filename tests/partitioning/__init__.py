"""Tests of the graph, its cuts, its partitions and their balance."""
