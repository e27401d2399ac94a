"""Playbooks on boards that boot: `make test-deploy`."""
