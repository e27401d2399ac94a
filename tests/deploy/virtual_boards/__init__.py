"""Virtual boards: what makes and boots them, with programs that stand in for qemu; and one board that boots."""
