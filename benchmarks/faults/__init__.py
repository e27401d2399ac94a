"""What faults of boards cost a chain at full load: `python -m benchmarks.faults`."""
