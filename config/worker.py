"""The entry point of the workers that ``manage.py serve`` starts: they end with it."""

import gc
import multiprocessing
import os
import signal

from django.conf import settings

from agent_conversations.services import metrics
from config import wsgi
from config.access_log import start_access_log
from config.connections import SlowClients
from sessions_store.embedded.parent_process import end_with_parent

__all__ = ["application"]

# Ctrl-C in a terminal reaches the process that started this one, and that one ends it. Reached by
# both at once, a worker now and then ended by neither.
os.setpgrp()
_parent = multiprocessing.parent_process()
# A worker has nothing to save but the last lines of its access log, and no one is left to see that
# it obeys.
end_with_parent(_parent.pid if _parent and _parent.pid else os.getppid(), by=signal.SIGKILL)
metrics().start()
_slow_clients = SlowClients(settings.ENVIRONMENT.port, settings.ENVIRONMENT.threads)
_slow_clients.start()
_log = start_access_log()
application = _slow_clients.wrap(_log.wrap(wsgi.application) if _log else wsgi.application)
# What is loaded by now stays. To look at it again, a full collection took 40 ms and brought pages
# into memory that nothing else needs.
gc.collect()
gc.freeze()
