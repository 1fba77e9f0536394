"""Django's settings: one file; environments differ by the values of environment variables.

A variable that code outside of ``config`` uses is a setting of its own here, and is read as that
everywhere; ``ENVIRONMENT`` is for what only ``manage.py serve`` and this file need.
"""

import tomllib

from config.environment import PROJECT_DIR, read_environment
from config.logging import logging_config
from config.secret_key import secret_key
from sessions_store.embedded.server import server_url
from sessions_store.redis.connections import connection_options

ENVIRONMENT = read_environment()

# Never on: Django's debug pages are HTML, show settings and quote request bodies.
DEBUG = False
SECRET_KEY = ENVIRONMENT.secret_key or secret_key(ENVIRONMENT.data_dir)
ALLOWED_HOSTS = ENVIRONMENT.allowed_hosts
TRUSTED_PROXIES = ENVIRONMENT.trusted_proxies

ELEVENLABS_AGENT_ENABLED = ENVIRONMENT.elevenlabs_agent_enabled
PORT = ENVIRONMENT.port
LIVE_PORT = ENVIRONMENT.port_of_live
LIVE_URL = ENVIRONMENT.live_url
API_TOKENS = ENVIRONMENT.tokens()
ELEVENLABS_WEBHOOK_SECRETS = ENVIRONMENT.elevenlabs_webhook_secrets
REFUSED_WEBHOOKS_DIR = ENVIRONMENT.data_dir / "refused_webhooks"
METRICS_DIR = ENVIRONMENT.data_dir / "metrics"
SESSION_RATE = ENVIRONMENT.session_rate
SESSION_ENCRYPTION_KEYS = ENVIRONMENT.session_encryption_keys
CONVERSATION_ENCRYPTION_KEYS = ENVIRONMENT.conversation_encryption_keys
CONVERSATION_RETENTION_SECONDS = ENVIRONMENT.conversation_retention_seconds
CONVERSATION_MAX_MESSAGES = ENVIRONMENT.conversation_max_messages
CONVERSATION_MAX_BYTES = ENVIRONMENT.conversation_max_bytes
# Two threads stay free for what needs no Redis, such as /health/live, while Redis hangs.
REDIS_MAX_WAITING = max(1, ENVIRONMENT.threads - 2)
REDIS_MAX_CONNECTIONS = ENVIRONMENT.redis_max_connections
WRITE_ACKS = ENVIRONMENT.write_acks
INDEX_SHARDS = ENVIRONMENT.index_shards
REDIS_URL = ENVIRONMENT.redis_url or server_url(ENVIRONMENT.data_dir)

INSTALLED_APPS = [
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "config.apps.ConfigConfig",
    "sessions_store",
    "agent_conversations",
]
MIDDLEWARE = [
    "agent_conversations.api.middleware.bound_requests",
    # Before CORS: a preflight for a foreign host is refused as well.
    "agent_conversations.api.middleware.check_host",
    "agent_conversations.api.middleware.CorsMiddleware",
    "agent_conversations.api.middleware.refuse_unreadable_types",
    "whitenoise.middleware.WhiteNoiseMiddleware",
]
# Pages have their headers from bound_requests, and CorsMiddleware refuses forged requests: Django's
# own middleware costs every JSON response some µs, and there is no cookie that CSRF would need.
SILENCED_SYSTEM_CHECKS = ["security.W001", "security.W002", "security.W003"]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
# No ORM: everything is in Redis.
DATABASES: dict[str, dict[str, str]] = {}

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before the applications' own, so that ours can extend the browsable API's.
        "DIRS": [PROJECT_DIR / "agent_conversations" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]

STATIC_URL = "/static/"
STORAGES = {"staticfiles": {"BACKEND": "config.static_files.PrefixedStaticFilesStorage"}}
# Served by the process itself, straight from the packages: nothing to collect, no CDN.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

# What makes the client, where REDIS_URL is one server; nothing else uses a cache.
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {
            "CONNECTION_POOL_CLASS": "sessions_store.redis.connections.ConnectionPool",
            "CONNECTION_POOL_KWARGS": {
                **connection_options(),
                "max_connections": REDIS_MAX_CONNECTIONS,
            },
        },
    }
}

# A longer body is a 413.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

CORS_ALLOWED_ORIGINS = ENVIRONMENT.cors_allowed_origins
CORS_ALLOWED_ORIGIN_REGEXES = (
    [] if CORS_ALLOWED_ORIGINS else [r"^https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$"]
)
CORS_URLS_REGEX = r"^/(agent-conversations|health|openapi|asyncapi)"
CORS_ALLOW_HEADERS = [
    "accept",
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    # Sentry's and OpenTelemetry's instrumentation of a page adds these to each request.
    "baggage",
    "sentry-trace",
    "traceparent",
    "tracestate",
    "x-request-id",
    *ENVIRONMENT.cors_allow_headers,
]
CORS_EXPOSE_HEADERS = [
    "ETag",
    "Location",
    "Idempotency-Replayed",
    "Retry-After",
    "X-Request-ID",
]

REST_FRAMEWORK = {
    # The flag first: a feature that is off is a 503 for everyone.
    "DEFAULT_PERMISSION_CLASSES": [
        "agent_conversations.api.permissions.FeatureEnabled",
        "agent_conversations.api.authentication.HasScope",
    ],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "agent_conversations.api.authentication.TokenAuthentication"
    ],
    "DEFAULT_RENDERER_CLASSES": [
        "agent_conversations.api.renderers.JsonRenderer",
        "agent_conversations.api.browsable.BrowsableRenderer",
    ],
    "DEFAULT_PARSER_CLASSES": ["agent_conversations.api.parsers.JsonParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "agent_conversations.api.negotiation.JsonUnlessBrowser",
    "DEFAULT_SCHEMA_CLASS": "agent_conversations.api.openapi.schema.ContractSchema",
    "DEFAULT_METADATA_CLASS": None,
    "NUM_PROXIES": TRUSTED_PROXIES,
    "EXCEPTION_HANDLER": "agent_conversations.api.exceptions.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
}

_PROJECT = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text("utf-8"))["project"]
SPECTACULAR_SETTINGS = {
    "TITLE": "elevenlabs-agent",
    "DESCRIPTION": (
        "Sessions and conversations of ElevenLabs voice agents, kept in Redis.\n\n"
        "Every error is the same envelope: `success: false`, `error` (a sentence for a person), "
        "`code` (for programs; it never changes) and, with `invalid_request`, `details`."
    ),
    "VERSION": _PROJECT["version"],
    "OAS_VERSION": "3.1.0",
    "COMPONENT_SPLIT_PATCH": False,
    "SERVE_INCLUDE_SCHEMA": False,
    # By path and method; what needs no id comes first.
    "SORT_OPERATIONS": lambda endpoint: (
        endpoint[0].replace("{", "~"),
        ("GET", "POST", "PUT", "PATCH", "DELETE").index(endpoint[2]),
    ),
    "SERVE_PERMISSIONS": [],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    # Its validator is another host's.
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "POSTPROCESSING_HOOKS": ["agent_conversations.api.openapi.schema.complete_schema"],
    "TAGS": [
        {"name": "conversations", "description": "What a user and a voice agent said."},
        {"name": "sessions", "description": "The live connection of a conversation, ten minutes."},
        {"name": "webhooks", "description": "What ElevenLabs sends when a call is over."},
        {"name": "health", "description": "For load balancers; never behind the feature flag."},
    ],
}

LOGGING = logging_config(ENVIRONMENT.log_level)
