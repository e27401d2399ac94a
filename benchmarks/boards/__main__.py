"""`python -m benchmarks.boards`."""

from benchmarks.boards.cli import main

if __name__ == "__main__":
    main()
