"""The entry point of the workers that ``manage.py serve`` starts: they end with it."""

import multiprocessing
import os

from config.memory import keep_freed_memory
from config.wsgi import application
from sessions_store.parent_process import end_with_parent

__all__ = ["application"]

_parent = multiprocessing.parent_process()
end_with_parent(_parent.pid if _parent and _parent.pid else os.getppid())
keep_freed_memory()
