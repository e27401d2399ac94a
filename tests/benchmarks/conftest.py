"""What tests on emulated boards need."""

from tests.emulation import able

__all__ = ["able"]
