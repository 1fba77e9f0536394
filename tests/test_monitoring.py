"""What docs/monitoring says and makes of the metrics."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from redis import Redis

from tests.conftest import ServedClient
from tests.test_documentation import PROJECT_DIR, code_in, rows_of

MONITORING = PROJECT_DIR / "docs" / "monitoring"
RULES = (MONITORING / "alerts.yaml").read_text()
PAGE = (MONITORING / "README.md").read_text()
METRIC = re.compile(r"\b(?:http|redis|agent|live|elevenlabs)_(?:\w+_)*\w+\b")


@pytest.fixture
def families(real_service: Redis, client: ServedClient) -> dict[str, str]:
    """The names of the metrics that the service has, with their types."""
    text = client.get("/metrics").content.decode()
    return dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))


def expressions_of_the_dashboard() -> Iterator[str]:
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (one["query"]["query"] for one in dashboard["templating"]["list"][1:])


def metrics_in(expression: str) -> set[str]:
    without_texts = re.sub(r'"[^"]*"', "", expression)
    return set(METRIC.findall(without_texts))


def test_every_metric_of_the_dashboard_exists(families: dict[str, str]) -> None:
    for expression in expressions_of_the_dashboard():
        named = metrics_in(expression)

        assert named, expression
        assert {re.sub("_(bucket|count|sum)$", "", name) for name in named} <= families.keys()


def test_every_metric_of_the_alert_rules_exists(families: dict[str, str]) -> None:
    expressions = re.findall(r"expr: (.*?)\n +(?:for|labels):", RULES, re.DOTALL)
    named = set.union(*map(metrics_in, expressions))

    assert len(expressions) == RULES.count("- alert:")
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in named} <= families.keys()


def test_every_metric_is_documented(families: dict[str, str]) -> None:
    documented = {code_in(row[0])[0] for row in rows_of(PAGE, "Metrics")}

    assert documented == families.keys()


def test_every_alert_is_on_the_page_about_monitoring() -> None:
    alerts = set(re.findall(r"- alert: (\w+)", RULES))

    assert {code_in(row[0])[0] for row in rows_of(PAGE, "What the alerts mean")} == alerts


@pytest.mark.parametrize(
    "arguments",
    [["check", "rules", "docs/monitoring/alerts.yaml"], ["test", "rules", "tests/monitoring.yaml"]],
    ids=["check", "test"],
)
def test_promtool_accepts_the_alert_rules(arguments: list[str]) -> None:
    if shutil.which("promtool") is None and not os.environ.get("CI"):
        pytest.skip("promtool is not installed (Debian's package prometheus)")

    found = subprocess.run(
        ["promtool", *arguments], cwd=PROJECT_DIR, capture_output=True, text=True, check=False
    )

    assert found.returncode == 0, found.stdout + found.stderr
