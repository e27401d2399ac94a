"""The boards as their clients see them: the inventory, each board's control plane, and the loop that talks to them."""
