"""Making files the way a client of PDS does: create, PUT the parts, complete."""

import hashlib
import itertools
import struct

import requests

from sdk import same, true

# The smallest part that is not the last (4.5), as a multiple of 64 (8.7).
PART_BYTES = 102_400


def sha1(content):
    """As PDS prints it."""
    return hashlib.sha1(content).hexdigest().upper()


def pre_hash(content):
    """The hash of the first 1024 bytes."""
    return sha1(content[:1024])


def _crc64_table():
    for index in range(256):
        for _ in range(8):
            index = (index >> 1) ^ (0xC96C5795D7870F42 if index & 1 else 0)
        yield index


_CRC64 = list(_crc64_table())


def crc64(content):
    """CRC-64/XZ as PDS prints it."""
    value = 0xFFFF_FFFF_FFFF_FFFF
    for byte in content:
        value = _CRC64[(value ^ byte) & 0xFF] ^ (value >> 8)
    return str(value ^ 0xFFFF_FFFF_FFFF_FFFF)


def sha1_state(content):
    """The five words of SHA-1 after whole blocks of content, which hashlib does not give away."""
    words = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
    for start in range(0, len(content), 64):
        words = _sha1_block(words, content[start : start + 64])
    return list(words)


def _sha1_block(words, block):
    def rotated(word, by):
        return ((word << by) | (word >> (32 - by))) & 0xFFFF_FFFF

    schedule = list(struct.unpack(">16L", block))
    for i in range(16, 80):
        schedule.append(rotated(schedule[i - 3] ^ schedule[i - 8] ^ schedule[i - 14] ^ schedule[i - 16], 1))
    a, b, c, d, e = words
    for i, word in enumerate(schedule):
        if i < 20:
            mixed, constant = (b & c) | (~b & d), 0x5A827999
        elif i < 40:
            mixed, constant = b ^ c ^ d, 0x6ED9EBA1
        elif i < 60:
            mixed, constant = (b & c) | (b & d) | (c & d), 0x8F1BBCDC
        else:
            mixed, constant = b ^ c ^ d, 0xCA62C1D6
        a, b, c, d, e = (rotated(a, 5) + mixed + e + constant + word) & 0xFFFF_FFFF, a, rotated(b, 30), c, d
    return tuple((old + new) & 0xFFFF_FFFF for old, new in zip(words, (a, b, c, d, e)))


_seeds = itertools.count(1)


def fresh(size, seed=None):
    """Bytes that no other call has made: nothing is uploaded rapidly by accident."""
    seed = next(_seeds) if seed is None else seed
    return hashlib.shake_128(f"pdsfs {seed}".encode()).digest(size)


def put(part, content, content_type=""):
    """PUTs a part to its URL. The content type must be what was signed: empty, if none was asked for."""
    return requests.put(part.upload_url, data=content, headers={"Content-Type": content_type}, timeout=60)


def put_all(parts, content, size=PART_BYTES):
    """PUTs a content in its parts; each answers with its ETag and CRC."""
    for part in parts:
        piece = content[(part.part_number - 1) * size : part.part_number * size]
        answer = put(part, piece)
        same(answer.status_code, 200, f"status of PUT {part.part_number}: {answer.text[:200]}")
        same(answer.headers.get("ETag"), f'"{hashlib.md5(piece).hexdigest().upper()}"', "ETag")
        same(answer.headers.get("x-oss-hash-crc64ecma"), crc64(piece), "x-oss-hash-crc64ecma")


def fetch(url, **headers):
    """GETs a signed URL."""
    return requests.get(url, headers=headers, timeout=60)


class Files:
    """Shorthand for checks that need files rather than test how they are made."""

    def __init__(self, pds):
        self.pds = pds
        self.home = "root"

    def folder(self, name, parent=None, **fields):
        """The id of a new folder."""
        parent = parent or self.home
        return self.pds.create_file(expect=201, parent_file_id=parent, name=name, type="folder", **fields).file_id

    def start(self, name, content, parent=None, **fields):
        """The reply to `create` for a content in parts of `PART_BYTES`."""
        count = max(1, -(-len(content) // PART_BYTES))
        fields.setdefault("size", len(content))
        fields.setdefault("part_info_list", [{"part_number": n + 1} for n in range(count)])
        return self.pds.create_file(
            expect=201, parent_file_id=parent or self.home, name=name, type="file", **fields
        )

    def finish(self, made, content, **fields):
        """The File after `complete`."""
        fields.setdefault("crc64_hash", crc64(content))
        return self.pds.complete_file(file_id=made.file_id, upload_id=made.upload_id, **fields)

    def file(self, name, content=None, parent=None, **fields):
        """A new file, or with `file_id` a new revision: the File."""
        content = fresh(100) if content is None else content
        made = self.start(name, content, parent, **fields)
        true(made.upload_id, f"create of {name} gives no upload_id")
        put_all(made.part_info_list, content)
        return self.finish(made, content)

    def get(self, file_id, **fields):
        """A File."""
        return self.pds.get_file(file_id=file_id, **fields)

    def content(self, file_id):
        """The bytes of a file, through a download URL."""
        answer = fetch(self.pds.get_download_url(file_id=file_id).url)
        same(answer.status_code, 200, "status of the download")
        return answer.content

    def names(self, parent=None, **fields):
        """The names in a folder, by name."""
        fields = {"order_by": "name", "order_direction": "ASC", **fields}
        page = self.pds.list_file(parent_file_id=parent or self.home, limit=100, **fields)
        return [file.name for file in page.items or []]
