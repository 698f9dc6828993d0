"""Commands that are more than ``serve``."""
