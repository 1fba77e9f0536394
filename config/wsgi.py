"""The entry point of WSGI servers: ``config.wsgi:application``."""

import os

import django
from django.conf import settings

from config.chunked import read_chunked_bodies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from config.handler import ServiceHandler  # noqa: E402  # needs the applications

application = read_chunked_bodies(ServiceHandler(), settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
