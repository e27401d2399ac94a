"""Plans on real boards: measures partitions and links, has `partitioning.planning` choose, explains and draws."""
