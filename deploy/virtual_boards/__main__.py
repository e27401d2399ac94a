"""`python -m deploy.virtual_boards`."""

from deploy.virtual_boards.cli import main

if __name__ == "__main__":
    main()
