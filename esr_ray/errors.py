"""The one exception that means "the user can mend this": commands print it in one line and exit with status 2."""


class UserError(Exception):
    """Something given by the user is wrong; the message says what, where (file, key) and what to do."""
