import io
import lzma
import tarfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octomed_jax.errors import UserError
from octomed_jax.questions.packages.archives import ar_members, deb_members, wheel_members

NAMES = st.text("abcdefghijklmnop.-_", min_size=1, max_size=16)


def ar(members: dict[str, bytes]) -> bytes:
    data = b"!<arch>\n"
    for name, content in members.items():
        data += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content
        data += b"\n" * (len(content) % 2)
    return data


def tar_xz(files: dict[str, bytes], links: tuple[str, ...] = ()) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:xz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(info)
    return file.getvalue()


def wheel(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


@settings(max_examples=50)
@given(st.dictionaries(NAMES, st.binary(max_size=50), max_size=5))
def test_ar_gives_back_what_was_packed(members):
    assert ar_members(ar(members), "x.deb") == members


@settings(max_examples=100)
@given(st.dictionaries(NAMES, st.binary(max_size=20), min_size=1, max_size=3), st.data())
def test_a_broken_ar_is_read_or_refused_in_one_line(members, data):
    packed = bytearray(ar(members))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] = data.draw(st.integers(0, 255))
    message = ""
    try:
        ar_members(bytes(packed[: data.draw(st.integers(0, len(packed)))]), "x.deb")
    except UserError as error:
        message = str(error)
    assert not message or message.startswith("x.deb")
    assert "\n" not in message


def test_deb_files_come_by_name_and_links_are_not_followed():
    packed = ar({"debian-binary": b"2.0\n", "data.tar.xz": tar_xz({"./usr/a": b"A", "usr/b": b"B"}, ("./usr/link",))})
    assert deb_members(packed, ["usr/a", "usr/b"], "x.deb") == {"usr/a": b"A", "usr/b": b"B"}
    for missing in ("usr/c", "usr/link", "../usr/a"):
        with pytest.raises(UserError, match="no file"):
            deb_members(packed, [missing], "x.deb")


def test_deb_limits_and_damage():
    data = tar_xz({"usr/a": b"A" * 100})
    with pytest.raises(UserError, match="over the limit of 99"):
        deb_members(ar({"data.tar.xz": data}), ["usr/a"], "x.deb", limit=99)
    with pytest.raises(UserError, match=r"no data\.tar\.xz"):
        deb_members(ar({"data.tar.zst": data}), ["usr/a"], "x.deb")
    with pytest.raises(UserError, match="cut short"):
        deb_members(ar({"data.tar.xz": data[:-20]}), ["usr/a"], "x.deb")
    with pytest.raises(UserError, match="cannot be unpacked"):
        deb_members(ar({"data.tar.xz": b"nonsense" + data}), ["usr/a"], "x.deb")
    with pytest.raises(UserError, match="cannot be unpacked"):
        deb_members(ar({"data.tar.xz": lzma.compress(b"no tar" * 200)}), ["usr/a"], "x.deb")


def test_deb_that_unpacks_to_too_much(monkeypatch):
    monkeypatch.setattr("octomed_jax.questions.packages.archives.TAR_LIMIT", 50_000)
    with pytest.raises(UserError, match="unpacks to over 50000"):
        deb_members(ar({"data.tar.xz": tar_xz({"usr/a": b"\0" * 200_000})}), ["usr/a"], "x.deb")


def test_wheel_members():
    packed = wheel({"a/b.txt": b"hello", "big": b"\0" * 5000})
    assert wheel_members(packed, ["a/b.txt"], "x.whl") == {"a/b.txt": b"hello"}
    with pytest.raises(UserError, match="no member a/c"):
        wheel_members(packed, ["a/c"], "x.whl")
    with pytest.raises(UserError, match="over the limit of 4999"):
        wheel_members(packed, ["big"], "x.whl", limit=4999)
    with pytest.raises(UserError, match="not a readable zip"):
        wheel_members(packed[:30], ["big"], "x.whl")


def test_a_wheel_that_lies_about_a_size_is_refused():
    # zipfile itself stops at the claimed size and then finds that the checksum differs.
    packed = bytearray(wheel({"big": b"\0" * 5000}))
    for at in (22, packed.rindex(b"PK\x01\x02") + 24):
        packed[at : at + 4] = (10).to_bytes(4, "little")
    with pytest.raises(UserError, match=r"x\.whl"):
        wheel_members(bytes(packed), ["big"], "x.whl", limit=100)
