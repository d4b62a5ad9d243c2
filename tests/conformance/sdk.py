"""The official SDK, in a form that checks can use: short calls, strict decoding, expected refusals.

A call of the SDK's `create_file_with_options(CreateFileRequest(...))` is written `pds.create_file(...)`. Every
reply is decoded into the SDK's models, and each field must have the type that the model declares: the SDK itself
takes whatever comes.
"""

import contextlib
import re
import sys
import time
import typing

from alibabacloud_pds20220301 import models
from alibabacloud_pds20220301.client import Client
from alibabacloud_tea_openapi import utils_models
from darabonba.model import DaraModel
from darabonba.runtime import RuntimeOptions

# Everything that the service does later (search, tasks, facts about media) is waited for this long.
PATIENCE_SECONDS = 60


class Wrong(AssertionError):
    """The server did something else than the service does."""


class Refused(Exception):
    """The service's own refusal of a call."""

    def __init__(self, error):
        data = error.data if isinstance(error.data, dict) else {}
        self.status, self.code, self.data = data.get("statusCode"), error.code, data
        super().__init__(f"{self.status} {error.code}: {error.message}")
        if not data.get("requestId"):
            raise Wrong(f"an error without x-ca-request-id: {self}")
        if not error.message:
            raise Wrong(f"an error without message: {self}")


class Sdk:
    """One caller of the API. Attributes are the operations of the SDK; `drive_id` is filled in.

    It sends a bearer token, or with `key` (an AccessKey's id and secret) signs each request."""

    def __init__(self, host, bearer, drive_id, protocol="http", key=None):
        self.host, self.bearer, self.drive_id, self.protocol = host, bearer, drive_id, protocol
        if key:
            config = utils_models.Config(endpoint=host, protocol=protocol, type="access_key")
            config.access_key_id, config.access_key_secret = key
        else:
            config = utils_models.Config(endpoint=host, protocol=protocol, type="bearer", bearer_token=bearer)
        # Large folders take their time on a busy machine; nothing here depends on being fast.
        config.read_timeout = config.connect_timeout = 60_000
        self.client = Client(config)
        self.headers = {}

    def with_token(self, token, drive_id=None):
        """Another caller of the same server."""
        return Sdk(self.host, token, drive_id or self.drive_id, self.protocol)

    def with_key(self, id, secret):
        """A caller who signs."""
        return Sdk(self.host, None, self.drive_id, self.protocol, key=(id, secret))

    def __getattr__(self, operation):
        call = getattr(self.client, f"{operation}_with_options")
        name = "".join(word.title() for word in operation.split("_")) + "Request"
        # Few operations have nothing to say.
        request_type = getattr(models, name, None)

        def run(expect=200, **fields):
            arguments = [self._request(request_type, fields)] if request_type else []
            response = _told(lambda: call(*arguments, dict(self.headers), RuntimeOptions()))
            _expect_status(operation, response.status_code, expect)
            _expect_id(operation, response.headers)
            body = getattr(response, "body", None)
            verify(body, operation)
            return body

        return run

    def _request(self, request_type, fields):
        """The request with these fields, all of which must be its own."""
        hints = typing.get_type_hints(request_type.__init__, vars(sys.modules[request_type.__module__]))
        if "drive_id" in hints and "share_id" not in fields:
            fields.setdefault("drive_id", self.drive_id)
        request = request_type().from_map(fields)
        lost = fields.keys() - request.to_map().keys()
        if lost:
            raise TypeError(f"{request_type.__name__} has no {', '.join(sorted(lost))}")
        return request

    def post(self, path, expect=200, model=None, **body):
        """A call that the service has and this SDK has no method for, sent the SDK's way.

        With `model` the reply is decoded into it, else it is a dictionary."""
        if "share_id" not in body:
            body.setdefault("drive_id", self.drive_id)
        request = utils_models.OpenApiRequest(headers=dict(self.headers), body=body)
        params = utils_models.Params(
            action="Call",
            version="2022-03-01",
            protocol=self.protocol,
            pathname=path,
            method="POST",
            auth_type="AK",
            style="ROA",
            req_body_type="json",
            body_type="json",
        )
        response = _told(lambda: self.client.execute(params, request, RuntimeOptions()))
        _expect_status(path, response["statusCode"], expect)
        _expect_id(path, response["headers"])
        reply = response["body"]
        return decoded(model, reply) if model else reply


def _told(call):
    """The answer of a call, or its refusal."""
    try:
        return call()
    except Exception as error:
        cause = getattr(error, "inner_exception", None) or error
        if getattr(cause, "code", None) and isinstance(getattr(cause, "data", None), dict):
            raise Refused(cause) from None
        raise


def _expect_status(what, status, expect):
    allowed = expect if isinstance(expect, tuple) else (expect,)
    if status not in allowed:
        raise Wrong(f"{what}: status {status} instead of {' or '.join(map(str, allowed))}")


def _expect_id(what, headers):
    if not headers.get("x-ca-request-id"):
        raise Wrong(f"{what}: no x-ca-request-id")


# --- decoding --------------------------------------------------------------------------------------------


def decoded(model, value):
    """A part of a raw reply as a model of the SDK, verified."""
    result = model().from_map(value)
    verify(result, model.__name__)
    return result


def verify(value, where):
    """Compares a decoded reply with the types its models declare, all the way down."""
    if not isinstance(value, DaraModel):
        return
    hints = typing.get_type_hints(type(value).__init__, vars(sys.modules[type(value).__module__]))
    for name, hint in hints.items():
        _verify_field(getattr(value, name, None), hint, f"{where}.{name}")


def _verify_field(value, hint, where):
    if value is None or hint is typing.Any:
        return
    kind, inside = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind is list:
        if not isinstance(value, list):
            raise Wrong(f"{where} is no list: {value!r:.80}")
        for item in value:
            _verify_field(item, inside[0], f"{where}[]")
    elif kind is dict:
        if not isinstance(value, dict):
            raise Wrong(f"{where} is no map: {value!r:.80}")
        for item in value.values():
            _verify_field(item, inside[1], f"{where}{{}}")
    elif isinstance(value, DaraModel):
        verify(value, where)
    else:
        numbers = (int, float) if kind is float else kind
        if not isinstance(value, numbers) or (isinstance(value, bool) and kind is not bool):
            raise Wrong(f"{where} is no {kind.__name__}: {value!r:.80}")


# --- what checks say -------------------------------------------------------------------------------------


def same(got, expected, what="value"):
    """Fails unless two values are equal."""
    if got != expected:
        raise Wrong(f"{what} is {got!r:.300} instead of {expected!r:.300}")


def true(condition, what):
    """Fails with what should have been."""
    if not condition:
        raise Wrong(what)


def matches(pattern, text, what="value"):
    """Fails unless a text has a form."""
    if not isinstance(text, str) or not re.fullmatch(pattern, text):
        raise Wrong(f"{what} is {text!r:.200}, which is not {pattern}")


def is_code(got, code):
    """Whether a code is the expected one, or one of its kind."""
    if code.endswith("*"):
        return got.startswith(code[:-1])
    return got == code or got.startswith(f"{code}.")


@contextlib.contextmanager
def refused(status, code):
    """The call inside must be refused with this status and this code, or one that is more specific. A star at
    the end stands for the rest of the head, where the service's documentation leaves it open."""
    try:
        yield
    except Refused as error:
        if error.status != status or not is_code(error.code, code):
            raise Wrong(f"refused with {error} instead of {status} {code}") from None
    else:
        raise Wrong(f"not refused; expected {status} {code}")


def eventually(what, look):
    """Waits until `look` gives something; for what the service does after it has answered."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > until:
            raise Wrong(f"not within {PATIENCE_SECONDS} s: {what}")
        time.sleep(0.1)


def finished(pds, task_id):
    """The end of an asynchronous task, which must be a success."""
    true(task_id, "there is no async_task_id")

    def look():
        task = pds.get_async_task(async_task_id=task_id)
        return task if task.state != "Running" else None

    task = eventually(f"the end of task {task_id}", look)
    same(task.state, "Succeed", "state of the task")
    return task
