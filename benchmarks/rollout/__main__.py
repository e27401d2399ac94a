"""`python -m benchmarks.rollout`."""

from benchmarks.rollout.cli import main

if __name__ == "__main__":
    main()
