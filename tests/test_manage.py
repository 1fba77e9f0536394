"""``manage.py``, as a process of its own, with an environment that cannot be used."""

import os
import subprocess
import sys

import pytest

from config.environment import PROJECT_DIR

INVALID = {"PORT": "http", "LOG_LEVEL": "LOUD", "API_TOKENS": "alice:MARK\u00e9"}


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=PROJECT_DIR,
        env={"PATH": os.environ["PATH"], "PYTHONUTF8": "1", **variables},
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        "check",
        "check --deploy",
        "serve",
        "serve --skip-checks",
        "shell",
        "shell -c print(1)",
        "reindex",
        "collectstatic --noinput",
        "diffsettings",
        "help",
    ],
)
def test_every_command_refuses_an_invalid_environment(command: str) -> None:
    done = run("manage.py", *command.split(), **INVALID)

    assert done.returncode == 1
    assert done.stdout == ""
    assert "PORT must be a whole number from 1 to 65535, not 'http'." in done.stderr
    assert "LOG_LEVEL must be one of DEBUG, " in done.stderr
    assert "Entry 1 of API_TOKENS must have a token that a header can carry." in done.stderr
    assert "Traceback" not in done.stderr
    assert "MARK" not in done.stderr


def test_help_lists_this_projects_commands_and_no_others() -> None:
    listed = run("manage.py", "help").stdout
    names = run("manage.py", "help", "--commands").stdout.split()

    assert {"serve", "shell", "reindex", "list_conversations"} <= set(names)
    assert names[-3:] == ["check", "runserver", "spectacular"]
    assert "  reindex" in listed
    assert "Rebuilds the list of conversations from their records." in listed
    assert "migrate" not in listed


@pytest.mark.parametrize("command", ["migrate", "dbshell", "collectstatic", "startapp"])
def test_command_of_django_without_use_here_is_refused(command: str) -> None:
    done = run("manage.py", command)

    assert done.returncode == 1
    assert f"There is nothing to do here for Django's command '{command}'." in done.stderr


def test_mistyped_command_is_corrected() -> None:
    assert "Did you mean list_sessions?" in run("manage.py", "list_session").stderr


def test_check_is_content_with_an_empty_environment() -> None:
    done = run("manage.py", "check")

    assert done.returncode == 0
    assert "no issues" in done.stdout


def test_restart_keeps_the_options_of_python_and_the_command() -> None:
    printing = "import sys; print(sys.flags.optimize, sys.argv[1:3])"

    done = run("-O", "manage.py", "shell", "-v", "0", "-c", printing)

    assert done.stdout == "1 ['shell', '-v']\n"


def test_wsgi_application_cannot_be_made_of_an_invalid_environment() -> None:
    done = run("-c", "import config.wsgi", **INVALID)

    assert done.returncode == 1
    assert "InvalidEnvironmentError" in done.stderr
    assert "PORT must be a whole number from 1 to 65535, not 'http'." in done.stderr
    assert "MARK" not in done.stderr
