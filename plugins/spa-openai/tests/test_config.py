# ruff: noqa: E501 - messages are quoted in full
from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

import spa_openai
from spa.api import NotInKey
from spa.testing import check_component
from spa_openai.backend import OpenAIBackend
from spa_openai.config import OpenAIConfig
from spa_openai.plugin import spa_backends

KEY = "sk-very-secret-0123456789"


def fingerprint(**settings) -> str:
    return OpenAIBackend(OpenAIConfig(**{"model": "m", **settings})).fingerprint()


def test_defaults_are_those_of_the_hosted_service():
    config = OpenAIConfig(model="m")
    assert (config.base_url, config.api_key_env) == ("https://api.openai.com/v1", "OPENAI_API_KEY")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base_url": f"https://me:{KEY}@host/v1"}, "takes no user name, password, ?query or #fragment: a recipe holds no secrets"),
        ({"base_url": f"https://host/v1?key={KEY}"}, "takes no user name, password, ?query or #fragment"),
        ({"base_url": "localhost:8000"}, "must begin with http:// or https:// and a host"),
        ({"base_url": "http://[1"}, "not a URL"),
        ({"base_url": "ftp://host/v1"}, "must begin with http:// or https:// and a host"),
        ({"api_key_env": KEY}, "must be the name of an environment variable"),
        ({"api_key_env": "hf_abcdefgh"}, "must be the name of an environment variable"),
        ({"api_key_env": ""}, "must be the name of an environment variable"),
        ({"api_key": KEY}, "Extra inputs are not permitted"),
        ({"extra_body": {"api_key": KEY}}, "api_key: a recipe holds no secrets"),
        ({"extra_body": {"options": [{"Authorization": KEY}]}}, "Authorization: a recipe holds no secrets"),
        ({"extra_body": {"upstream": {"client_secret": KEY}}}, "client_secret: a recipe holds no secrets"),
        ({"extra_body": {"hf_token": KEY}}, "hf_token: a recipe holds no secrets"),
        ({"extra_body": {"n": 3, "stream": True}}, "n, stream: spa sets this itself"),
        ({"max_cost": 1.0}, "max_cost needs the price of tokens"),
        ({"max_concurrency": 0}, "greater than or equal to 1"),
        ({"prefill": "maybe"}, "'auto', 'refuse', 'continue' or 'last-turn'"),
    ],
)  # fmt: skip
def test_mistakes_in_a_recipe(settings, message):
    with pytest.raises(ValidationError) as caught:
        OpenAIConfig(**{"model": "m", **settings})
    assert message in str(caught.value)
    assert KEY not in str(caught.value)


def test_token_keys_of_extra_body_are_no_secrets():
    body = {
        "stop_token_ids": [1],
        "prompt_cache_key": "a",
        "min_tokens": 1,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    assert OpenAIConfig(model="m", extra_body=body).extra_body == body


def test_one_address_has_one_spelling():
    assert (
        OpenAIConfig(model="m", base_url="HTTP://Host:8000/v1/").base_url == "http://host:8000/v1"
    )


def test_the_fingerprint_is_that_of_server_model_and_revision():
    same = {fingerprint(), fingerprint(max_concurrency=3), fingerprint(api_key_env=None)}
    assert len(same) == 1
    others = [
        fingerprint(revision="2"),
        fingerprint(model="n"),
        fingerprint(base_url="http://host/v1"),
    ]
    assert len({*same, *others}) == 4


def test_what_changes_speed_or_money_alone_is_in_no_key():
    marked = {
        name
        for name, field in OpenAIConfig.model_fields.items()
        if any(isinstance(mark, NotInKey) for mark in field.metadata)
    }
    assert marked == {
        "api_key_env", "max_concurrency", "max_cost", "max_retries", "price",
        "requests_per_minute", "timeout", "tokens_per_minute",
    }  # fmt: skip


def test_the_config_is_read_without_the_client():
    code = (
        "import sys, spa_openai.config, spa_openai.plugin\n"
        "print({'openai', 'httpx2', 'aiolimiter', 'torch'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_the_record_keeps_its_contract():
    report = check_component("backend", *spa_backends())
    report.raise_if_failed()
    assert len(report.checks) == 6


def test_little_of_spa_is_imported():
    folder = Path(spa_openai.__file__).parent
    imported = {
        node.module
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module
    }
    of_spa = {name for name in imported if name.partition(".")[0] == "spa"}
    assert of_spa == {"spa.api", "spa.models.reasoning"}
