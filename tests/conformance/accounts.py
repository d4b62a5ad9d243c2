"""Tokens for applications, and AccessKeys (pds-api.md 2.3, 6)."""

import base64
import itertools
import json
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import requests
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key

from checks import check
from files import Files
from sdk import refused, same, true

KEY = Path(__file__).resolve().parent.parent / "server/app_key.b64"
JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CALLBACK = "http://127.0.0.1:9/callback"

_ids = itertools.count()


def assertion(bench, subject, kind="user", **more):
    """A JWT as the application `service` signs it."""

    def encode(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    domain, now = bench.pds.get_user().domain_id, int(time.time())
    claims = {"iss": "service", "sub": subject or domain, "sub_type": kind, "aud": domain}
    claims |= {"jti": f"conformance {time.time()} {next(_ids)}", "exp": now + 300, "iat": now - 300, **more}
    text = b".".join(encode(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
    key = load_der_private_key(base64.b64decode(KEY.read_text()), None)
    return (text + b"." + encode(key.sign(text, padding.PKCS1v15(), SHA256()))).decode()


def token_of(bench, subject, **more):
    """The Token of a user, by assertion."""
    signed = assertion(bench, subject, **more)
    return bench.pds.token(grant_type=JWT, client_id="service", assertion=signed)


def caller(bench, user):
    """A user with the drive that is theirs."""
    token = token_of(bench, user)
    return bench.pds.with_token(token.access_token, token.default_drive_id)


@check("a signed assertion becomes a token of its user")
def _(bench):
    token = token_of(bench, "alice")
    same((token.token_type, token.user_id, token.role), ("Bearer", "alice", "user"), "type, user_id, role")
    true(token.expires_in > 0 and token.expire_time and token.refresh_token, "no end or no refresh_token")
    alice = bench.pds.with_token(token.access_token, token.default_drive_id)
    same((alice.get_user().user_id, alice.get_user().nick_name), ("alice", "Alice"), "user_id and nick_name")
    same(alice.get_drive().owner, "alice", "owner of the default drive")
    same(Files(alice).file("hers", b"1").size, 1, "size of a file in it")


@check("an assertion for the service itself makes an administrator")
def _(bench):
    same(token_of(bench, None, kind="service").role, "superadmin", "role")


@check("auto_create makes the user and a drive")
def _(bench):
    token = token_of(bench, "carol", auto_create=True)
    same((token.user_id, bool(token.default_drive_id)), ("carol", True), "user_id and default_drive_id")


@check("a forged assertion, or one used before, is refused")
def _(bench):
    good = assertion(bench, "alice")
    bench.pds.token(grant_type=JWT, client_id="service", assertion=good)
    head, _, signature = assertion(bench, "alice").split(".")
    forged = ".".join((head, assertion(bench, "bob").split(".")[1], signature))
    for wrong in (good, forged, "nonsense"):
        with refused(400, "InvalidParameter*"):
            bench.pds.token(grant_type=JWT, client_id="service", assertion=wrong)


@check("refresh: a new refresh_token each time, the old one is used up")
def _(bench):
    first = token_of(bench, "alice")
    refresh = {"grant_type": "refresh_token", "client_id": "service"}
    second = bench.pds.token(refresh_token=first.refresh_token, **refresh)
    true(second.refresh_token != first.refresh_token, "the refresh_token stayed")
    same(bench.pds.with_token(second.access_token).get_user().user_id, "alice", "user_id")
    with refused(400, "InvalidParameter.RefreshToken"):
        bench.pds.token(refresh_token=first.refresh_token, **refresh)


@check("authorization code: by the consent page, good once")
def _(bench):
    query = {
        "client_id": "web",
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "login_type": "default",
        "state": "kept",
    }
    url = f"{bench.pds.protocol}://{bench.pds.host}/v2/oauth/authorize"
    page = requests.get(url, params=query, timeout=60)
    true(page.status_code == 200 and "<form" in page.text, "no consent page")
    answers = {**query, "user_name": "bob", "password": "builder"}
    answer = requests.post(url, data=answers, allow_redirects=False, timeout=60)
    same(answer.status_code, 302, "status")
    back = parse_qs(urlsplit(answer.headers["Location"]).query)
    same(back["state"], ["kept"], "state")
    trade = {"grant_type": "authorization_code", "client_id": "web", "redirect_uri": CALLBACK, "code": back["code"][0]}
    with refused(403, "Forbidden"):
        bench.pds.token(client_secret="wrong", **trade)
    same(bench.pds.token(client_secret="s3cret", **trade).user_id, "bob", "user_id")
    with refused(400, "InvalidParameter.Code"):
        bench.pds.token(client_secret="s3cret", **trade)


@check("an AccessKey signs: the caller is the administrator")
def _(bench):
    admin = bench.pds.with_key("AK", "SECRET")
    owners = {drive.owner for drive in admin.list_drive(limit=100).items}
    true({"alice", "bob"} <= owners, f"drives of {owners} only")
    same(admin.get_user(user_id="bob").user_id, "bob", "user_id")
    same(admin.get_default_drive(user_id="bob").owner, "bob", "owner of the default drive")


@check("a signature with another secret: 403 InvalidAuthorization")
def _(bench):
    with refused(403, "InvalidAuthorization"):
        bench.pds.with_key("AK", "WRONG").list_drive(limit=10)


@check("nobody gets into another's drive: 403 ForbiddenNoPermission")
def _(bench):
    alice, bob = caller(bench, "alice"), caller(bench, "bob")
    file = Files(bob).file("private")
    for call in (
        lambda: alice.get_drive(drive_id=bob.drive_id),
        lambda: alice.get_file(drive_id=bob.drive_id, file_id=file.file_id),
        lambda: alice.list_file(drive_id=bob.drive_id, parent_file_id="root"),
        lambda: alice.delete_file(drive_id=bob.drive_id, file_id=file.file_id),
    ):
        with refused(403, "ForbiddenNoPermission"):
            call()
