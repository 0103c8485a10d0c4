"""A server with the OpenAI protocol, as a process of its own: a made-up model, or a proxy.

Run as a script, it listens on a free port of the loopback interface and prints its address. What
goes wrong is asked for in the user's message, so that each row has its own fate::

    fault=429*2 Hello     two tries are turned away, then it is answered
    fault=drop Hello      every try ends without an answer

Without ``--upstream`` the model is made up: it says the message backwards, and its likeliest tokens
after a label request are the digits. With it, all else is passed on to a real server.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import threading
import time
import zlib
from collections import Counter
from collections.abc import Mapping
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

CONTEXT = 4096  # words
FAULT = re.compile(r"fault=([a-z0-9-]+)(?:\*(\d+))? ")
STATUSES = {
    "400": {"message": "n must be 1", "type": "invalid_request_error", "code": "bad"},
    "401": {"message": "no such key", "type": "invalid_request_error", "code": "invalid_api_key"},
    "402": {"message": "top up your account", "code": "unpaid"},
    "403": {"message": "not for you", "code": "forbidden"},
    "404": {"message": "The model `other` does not exist.", "type": "NotFoundError", "code": 404},
    "408": {"message": "took too long"},
    "409": {"message": "locked"},
    "413": {"message": "body too large"},
    "422": {"message": "temperature: Input should be a number", "code": "unprocessable"},
    "429": {"message": "slow down", "code": "rate_limit_exceeded"},
    "500": {"message": "out of order"},
    "503": {"message": "loading the model"},
}
NAMED = {
    "flagged": (403, {"message": "Your input was flagged", "code": 403}),
    "filter": (400, {"message": "The response was filtered", "code": "content_filter"}),
    "long": (
        400,
        {"message": "This model's maximum context length is 64 tokens.", "type": "BadRequestError"},
    ),
    "quota": (429, {"message": "You exceeded your quota", "code": "insufficient_quota"}),
}
BODIES = {
    "malformed": b'{"choices": [{',
    "echo-page": b"",  # the header with the key
    "page": b"<html>\n<h1>Log in</h1>",
    "no-choices": b'{"choices": []}',
    "null": b'{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}',
    "withheld": b'{"choices": [{"message": {"content": null}, "finish_reason": "content_filter"}]}',
}


class State:
    """What the server was told and has seen."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.lock = threading.Lock()
        self.tries: Counter[str] = Counter()
        self.requests: list[dict[str, object]] = []
        self.now = 0
        self.most = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or head and body of an answer come 40 ms apart
    server: Server

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        state = self.server.state
        if self.path == "/seen":
            self.reply(200, {"requests": state.requests, "most": state.most})
        elif state.options.upstream:
            self.pass_on()
        elif not self.path.endswith("/models") or state.options.no_models:
            self.reply(404, {"detail": "Not Found"})
        elif state.options.page:
            self.send(200, BODIES["page"], {}, "text/html; charset=utf-8")
        elif state.options.silent:
            time.sleep(60)
        elif self.wrong_key():
            self.reply(401, {"error": STATUSES["401"]})
        else:
            card = {"id": "made-up", "object": "model", "owned_by": state.options.owner}
            self.reply(200, {"object": "list", "data": [card]})

    def do_POST(self) -> None:
        state = self.server.state
        self.body = self.rfile.read(int(self.headers["content-length"]))
        asked = json.loads(self.body)
        message = next((m["content"] for m in asked["messages"] if m["role"] == "user"), "")
        with state.lock:
            state.now += 1
            state.most = max(state.most, state.now)
            crowded = state.options.capacity is not None and state.now > state.options.capacity
            state.tries[message] += 1
            tried = state.tries[message]
            state.requests.append(
                {
                    "time": time.monotonic(),
                    "body": asked,
                    "headers": {k.lower(): v for k, v in self.headers.items()},
                }
            )
        try:
            self.answer(asked, message, tried, crowded)
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with state.lock:
                state.now -= 1

    def answer(self, asked: dict[str, object], message: str, tried: int, crowded: bool) -> None:
        options = self.server.state.options
        time.sleep(options.delay)
        fault = FAULT.match(message)
        if self.wrong_key():
            self.reply(401, {"error": STATUSES["401"]})
        elif crowded:
            self.reply(429, {"error": STATUSES["429"]}, {"retry-after-ms": "50"})
        elif fault and (fault[2] is None or tried <= int(fault[2])):
            self.fail(fault[1])
        elif options.upstream:
            self.pass_on()
        elif options.no_max_tokens and "max_tokens" in asked:
            said = (
                "Unsupported parameter: 'max_tokens' is not supported with this model. "
                "Use 'max_completion_tokens' instead."
            )
            error = {"message": said, "param": "max_tokens", "code": "unsupported_parameter"}
            self.reply(400, {"error": error})
        elif not asked["messages"]:
            self.reply(400, {"error": {"message": "messages: there are none"}})
        elif len(message.split()) > CONTEXT:
            self.fail("long")
        else:
            self.reply(200, self.made_up(asked, message))

    def wrong_key(self) -> bool:
        key = self.server.state.options.key
        return key is not None and self.headers.get("authorization") != f"Bearer {key}"

    def fail(self, name: str) -> None:
        if name in STATUSES:
            header = {"retry-after": "1"} if name == "429" else {}
            self.reply(int(name), {"error": STATUSES[name]}, header)
        elif name in NAMED:
            status, error = NAMED[name]
            self.reply(status, {"error": error})
        elif name == "echo":
            said = json.dumps(dict(self.headers))
            self.reply(500, {"error": {"message": f"cannot do {said}"}})
        elif name == "echo-text":
            self.send(400, f"bad headers: {self.headers}".encode(), {})
        elif name == "redirect":
            self.reply(307, {}, {"location": "https://elsewhere.test/v1/x?key=1"})
        elif name == "die":
            time.sleep(0.5)
            os._exit(1)
        elif name == "drop":
            self.close_connection = True
        elif name == "truncated":
            self.send(200, b'{"choices": [{"message": {"conte', {"content-length": "500"})
            self.close_connection = True
        elif name in BODIES:
            given = f"You sent, among other things, this: {self.headers['authorization']}"
            self.send(200, BODIES[name] or given.encode(), {})
        elif name == "slow":
            time.sleep(3)
            self.reply(200, {"choices": [{"message": {"content": "late"}}]})
        elif name == "dribble":
            self.dribble()
        else:
            raise AssertionError(name)

    def dribble(self) -> None:
        """A byte now and then: no single wait is long, but all of them are."""
        self.send_response(200)
        self.send_header("content-length", "1000")
        self.end_headers()
        for _ in range(30):
            self.wfile.write(b" ")
            self.wfile.flush()
            time.sleep(0.1)
        self.close_connection = True

    def made_up(self, asked: dict[str, object], message: str) -> dict[str, object]:
        options = self.server.state.options
        words = message.split()[::-1]
        most = int(str(asked.get("max_tokens") or asked.get("max_completion_tokens")))
        if options.lifelike:
            time.sleep(0.002 * min(most, len(words) + 1))
            if asked.get("temperature"):
                random.Random(asked.get("seed")).shuffle(words)  # type: ignore[arg-type]
        tokens = min(most, len(words) + 1)  # one for the end
        ended, words = len(words) < most, words[:most]
        choice: dict[str, object] = {"index": 0, "finish_reason": "stop" if ended else "length"}
        likes = zlib.crc32(message.encode()) % 9 + 1 if options.opinions else 9
        if asked.get("logprobs") and not options.no_logprobs:
            choice["logprobs"] = {"content": [digits(int(str(asked["top_logprobs"])), likes)]}
        text = " ".join(words)
        if options.think:
            text = f"<think>\nhm\n</think>\n\n{text}"
        choice["message"] = {"role": "assistant", "content": text}
        if asked.get("return_token_ids"):
            choice["token_ids"] = [*range(1, len(words) + 1), *([0] if ended else [])]
        answer: dict[str, object] = {"object": "chat.completion", "choices": [choice]}
        if not options.no_usage:
            answer["usage"] = {"prompt_tokens": 10, "completion_tokens": tokens}
        return answer

    def pass_on(self) -> None:
        parts = urlsplit(self.server.state.options.upstream)
        upstream = HTTPConnection(parts.hostname or "", parts.port, timeout=300)
        own = {"host", "connection", "content-length"}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in own}
        upstream.request(self.command, self.path, getattr(self, "body", None), headers)
        response = upstream.getresponse()
        self.send(response.status, response.read(), {})
        upstream.close()

    def reply(self, status: int, value: object, headers: Mapping[str, str] | None = None) -> None:
        self.send(status, json.dumps(value).encode(), headers or {})

    def send(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str],
        kind: str = "application/json",
    ) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.send_header("content-type", kind)
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, state: State) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.state = state


def digits(most: int, likes: int) -> dict[str, object]:
    """A place whose likeliest tokens are 1 to 9 with weights 1 to 9, and 8 again after a space.

    ``likes`` changes places with 9.
    """
    weights = {**{str(n): float(n) for n in range(1, 10)}, " 8": 2.0, "Score": 3.0}
    weights[str(likes)], weights["9"] = weights["9"], weights[str(likes)]
    total = sum(weights.values())
    ranked = sorted(weights.items(), key=lambda item: -item[1])
    tokens = [{"token": t, "logprob": math.log(w / total)} for t, w in ranked]
    return {**tokens[0], "top_logprobs": tokens[:most]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--upstream")
    parser.add_argument("--owner", default="someone")
    parser.add_argument("--key")
    parser.add_argument("--capacity", type=int)
    parser.add_argument("--delay", type=float, default=0.0)
    for name in (
        "lifelike",
        "no-logprobs",
        "no-max-tokens",
        "no-models",
        "no-usage",
        "opinions",
        "page",
        "silent",
        "think",
    ):
        parser.add_argument(f"--{name}", action="store_true")
    server = Server(State(parser.parse_args()))
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
