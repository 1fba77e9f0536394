"""The entry point of WSGI servers: ``config.wsgi:application``."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from config.chunked import read_chunked_bodies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = read_chunked_bodies(get_wsgi_application(), settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
