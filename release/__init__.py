"""What a release needs beside its packages: reference pages, checks of compatibility, notices, and the command that makes it."""
