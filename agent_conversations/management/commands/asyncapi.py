from typing import Any

from django.core.management.base import BaseCommand

from agent_conversations.api.openapi.asyncapi import to_yaml


class Command(BaseCommand):
    help = "Prints asyncapi.yaml, the description of the live socket."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(to_yaml(), ending="")
