"""`python -m dispatcher_client`."""

from dispatcher_client.cli import main

if __name__ == "__main__":
    main()
