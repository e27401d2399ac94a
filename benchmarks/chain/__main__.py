"""`python -m benchmarks.chain`."""

from benchmarks.chain.cli import main

if __name__ == "__main__":
    main()
