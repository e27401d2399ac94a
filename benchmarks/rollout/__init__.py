"""What a change of version costs a service at full load: `python -m benchmarks.rollout`."""
