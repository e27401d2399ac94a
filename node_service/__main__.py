"""`python -m node_service`."""

from node_service.cli import main

if __name__ == "__main__":
    main()
