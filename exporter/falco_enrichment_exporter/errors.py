"""The one error that is the operator's."""


class SetupError(Exception):
    """The set-up cannot be used; the message names each setting at fault and says what would be right. Exit code 2."""
