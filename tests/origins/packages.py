"""Builds the packages that the lab installs, and the static files of their indexes, byte by byte
the same each time: packages.py FOLDER BASE-URL."""

import base64
import gzip
import hashlib
import io
import json
import pathlib
import sys
import tarfile
import zipfile

folder, base = pathlib.Path(sys.argv[1]), sys.argv[2]


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def tarball(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            member.mode = 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
    return gzip.compress(packed.getvalue(), mtime=0)


def wheel(name, version):
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"NAME = '{name}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: lab\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        lines.append(f"{path},sha256={digest.decode()},{len(text.encode())}")
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,"]) + "\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return packed.getvalue()


def python_package(name, file, content):
    digest = hashlib.sha256(content).hexdigest()
    write(folder / "python/files" / file, content)
    page = f'<!DOCTYPE html><title>{name}</title><a href="/files/{file}#sha256={digest}">{file}</a>\n'
    write(folder / "python/simple" / name / "index.html", page.encode())


def node_package(name):
    short = name.split("/")[-1]
    manifest = {"name": name, "version": "1.0.0", "main": "index.js"}
    content = tarball(
        {
            "package/package.json": json.dumps(manifest),
            "package/index.js": f"module.exports = '{name}';\n",
        }
    )
    file = f"{name}/-/{short}-1.0.0.tgz"
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    dist = {"tarball": f"{base}/{file}", "integrity": integrity}
    packument = {
        "name": name,
        "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": {**manifest, "dist": dist}},
    }
    write(folder / "node" / file, content)
    write(folder / "node" / name / "packument.json", json.dumps(packument).encode())


python_package("labpkg", "labpkg-1.0-py3-none-any.whl", wheel("labpkg", "1.0"))
python_package(
    "labsource",
    "labsource-1.0.tar.gz",
    tarball(
        {
            "labsource-1.0/PKG-INFO": "Metadata-Version: 2.1\nName: labsource\nVersion: 1.0\n",
            "labsource-1.0/setup.py": "from setuptools import setup\n"
            "setup(name='labsource', version='1.0', py_modules=['labsource'])\n",
            "labsource-1.0/labsource.py": "NAME = 'labsource'\n",
        }
    ),
)
node_package("labpkg")
node_package("@acme/labpkg")
