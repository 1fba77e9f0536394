"""Commands of ``manage.py``: each parses its arguments, calls the store, and prints."""
