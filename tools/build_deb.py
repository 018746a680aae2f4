"""Build the Debian package `dist/sendproof_VERSION_ARCH.deb` from this checkout, with a Python environment of its own.

Installs nothing on this machine and starts nothing. The same checkout gives the same package: times are those of the
last commit (or SOURCE_DATE_EPOCH), versions and hashes those of requirements.lock.
"""

import datetime as dt
import fcntl
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import debian_papers
import man_pages
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[1]
WORK = REPOSITORY / "build" / "deb"
DIST = REPOSITORY / "dist"
SOURCES = REPOSITORY / "packaging"
EXTRAS = frozenset({"milter", "logparser", "web", "notices", "postfix", "postgresql"})
# What the package is made of, in this checkout.
INGREDIENTS = (
    *("core", "milter", "logparser", "web", "notices", "postfix-conf", "packaging", "tools", "docs"),
    *("pyproject.toml", "requirements.lock", "CHANGELOG.md", "README.md", "LICENSE"),
)
# Debian's own: the environment uses the interpreter that the package depends on.
SYSTEM_PYTHON = "/usr/bin/python3"
HOME = Path("usr/lib/sendproof")
_DAEMON = re.compile(r"sendproof-\w+")


class BuildFailed(Exception):
    """A tool failed or is missing; the text says which, with its last words."""


@dataclass(frozen=True)
class Build:
    """What is built from what. ``python``: version of Debian's Python, such as (3, 11)."""

    version: str
    architecture: str
    python: tuple[int, int]
    epoch: int
    tree: Path

    @property
    def site_packages(self) -> Path:
        """Where Python's packages are in the tree."""
        return self.tree / HOME / "lib" / f"python{self.python[0]}.{self.python[1]}" / "site-packages"


def main() -> int:
    """Build; 2 with a sentence where that is not possible."""
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            target = build_if_changed()
        except BuildFailed as error:
            sys.stderr.write(f"sendproof: {error}\n")
            return 2
    sys.stdout.write(f"{target.relative_to(REPOSITORY)}: {target.stat().st_size / 1e6:.1f} MB\n")
    return 0


def build_if_changed() -> Path:
    """The package's file; the one that is there, if it was made of the same."""
    made_of = WORK / "made-of"
    digest = hashlib.sha256()
    names = run("git", "ls-files", "-co", "--exclude-standard", "--", *INGREDIENTS, fallback="").splitlines()
    for name in sorted(names):
        path = REPOSITORY / name
        digest.update(f"{name}\0".encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    build = prepared()
    wanted = f"{target_of(build).name} {digest.hexdigest()}"
    is_there = target_of(build).exists() and made_of.exists() and made_of.read_text(encoding="ascii") == wanted
    if not names or not is_there:
        build_all(build)
        made_of.write_text(wanted, encoding="ascii")
    return target_of(build)


def build_all(build: Build) -> None:
    """Every step, with the time that it took."""
    shutil.rmtree(build.tree, ignore_errors=True)
    build.tree.mkdir()
    steps: tuple[tuple[str, Callable[[], object]], ...] = (
        ("the site's style, scripts and translations", lambda: run("tools/install-web-assets")),
        ("the wheels of requirements.lock", lambda: fetch_wheels(build)),
        ("Sendproof's own wheel", own_wheel),
        ("the environment", lambda: make_environment(build)),
        ("byte code", lambda: compile_all(build)),
        ("units, settings, programs", lambda: place_files(build)),
        ("manual pages", lambda: place_pages(build)),
        ("dependencies and sums", lambda: write_control(build)),
        ("the archive", lambda: pack(build)),
    )
    for number, (what, step) in enumerate(steps, start=1):
        began = time.monotonic()
        sys.stdout.write(f"sendproof: [{number}/{len(steps)}] {what} ... ")
        sys.stdout.flush()
        step()
        sys.stdout.write(f"{time.monotonic() - began:.1f} s\n")


def prepared() -> Build:
    """What this checkout and this machine give."""
    for tool in ("dpkg-deb", "dpkg-shlibdeps", "strip", SYSTEM_PYTHON):
        if shutil.which(tool) is None:
            raise BuildFailed(f"{tool} is missing; run `tools/install-debian demo deb`.")
    major, minor = run(SYSTEM_PYTHON, "-c", "import sys; print(*sys.version_info[:2])").split()
    python = int(major), int(minor)
    wanted = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if python < (3, 11):
        raise BuildFailed(f"{SYSTEM_PYTHON} is {major}.{minor}; Sendproof needs Python {wanted['requires-python']}.")
    commit = run("git", "log", "-1", "--format=%ct %h", fallback="").split()
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or (commit[0] if commit else 0)) or int(
        (REPOSITORY / "pyproject.toml").stat().st_mtime
    )
    return Build(
        debian_version(wanted["version"], commit, epoch),
        run("dpkg", "--print-architecture").strip(),
        python,
        epoch,
        WORK / "tree",
    )


def debian_version(version: str, commit: list[str], epoch: int) -> str:
    """The release's own, or one before it that grows with each commit."""
    if not commit or run("git", "tag", "--points-at", "HEAD", fallback="").strip() == f"v{version}":
        return f"{version}-1"
    when = dt.datetime.fromtimestamp(epoch, dt.UTC)
    return f"{version}~git{when:%Y%m%d%H%M%S}.{commit[1]}-1"


def target_of(build: Build) -> Path:
    """Where the package's file goes."""
    return DIST / f"sendproof_{build.version}_{build.architecture}.deb"


# --- Python ----------------------------------------------------------------------------------------------------------


def needed_names() -> set[str]:
    """What the components need, and what that needs: normalised names."""
    found: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    open_ends = [("sendproof", EXTRAS)]
    while open_ends:
        name, extras = open_ends.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:
            raise BuildFailed(f"{name} is not in this environment; run `make setup`.") from None
        found.add(name)
        for text in requirements:
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in (*extras, "")):
                open_ends.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return found - {"sendproof"}


def locked(names: set[str]) -> str:
    """The part of requirements.lock about these."""
    entries = re.split(r"\n(?=[A-Za-z0-9])", (REPOSITORY / "requirements.lock").read_text(encoding="utf-8"))
    named = ((re.split(r"[=\[]", entry, maxsplit=1)[0], entry) for entry in entries if "==" in entry)
    chosen = {str(canonicalize_name(name)): entry for name, entry in named}
    missing = sorted(names - set(chosen))
    if missing:
        raise BuildFailed(f"requirements.lock lacks {', '.join(missing)}; run `make lock`.")
    return "\n".join(chosen[name].rstrip() for name in sorted(names)) + "\n"


def _key(build: Build, text: str) -> str:
    return hashlib.sha256(f"{build.python} {build.architecture} {text}".encode()).hexdigest()[:16]


def wheels_folder(build: Build) -> Path:
    """Where the wheels of what is locked are kept from build to build."""
    return WORK / f"wheels-{_key(build, locked(needed_names()))}"


def fetch_wheels(build: Build) -> None:
    """Have every locked package as a wheel for Debian's Python; pymilter is built."""
    folder = wheels_folder(build)
    if folder.exists():
        return
    for old in WORK.glob("wheels-*"):
        shutil.rmtree(old)
    tools = (REPOSITORY / "tools" / "build-requirements.lock").read_text(encoding="utf-8")
    builder = WORK / f"builder-{_key(build, tools)}"
    growing = WORK / "builder"
    if not builder.exists():
        shutil.rmtree(growing, ignore_errors=True)
        run(SYSTEM_PYTHON, "-m", "venv", "--without-pip", str(growing))
        pip("install", "--require-hashes", "-r", "tools/build-requirements.lock", python=growing)
        growing.rename(builder)
    lock = WORK / "requirements.lock"
    lock.write_text(locked(needed_names()), encoding="utf-8")
    fresh = WORK / "wheels"
    shutil.rmtree(fresh, ignore_errors=True)
    # A cache of its own: what pip built for another Python of the same version has that one's paths in it.
    words = ("--cache-dir", str(WORK / "pip"), "--require-hashes", "--no-deps", "--no-build-isolation")
    pip("wheel", *words, "-w", str(fresh), "-r", str(lock), python=builder)
    fresh.rename(folder)


def own_wheel() -> None:
    """This checkout as a wheel."""
    target = WORK / "own"
    shutil.rmtree(target, ignore_errors=True)
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", str(target), ".", python=None)
    made = next(target.glob("sendproof-*.whl"))
    names = zipfile.ZipFile(made).namelist()
    for wanted in ("static/vendor/pico.min.css", "translations/de/LC_MESSAGES/messages.mo", "templates/main.cf.j2"):
        if not any(name.endswith(wanted) for name in names):
            raise BuildFailed(f"the wheel lacks {wanted}: see [tool.hatch.build] in pyproject.toml.")


def make_environment(build: Build) -> None:
    """The environment, as it will be in its place: no path of this machine is in it."""
    home = build.tree / HOME
    run(SYSTEM_PYTHON, "-m", "venv", "--without-pip", str(home))
    wheels = sorted(map(str, (*wheels_folder(build).glob("*.whl"), *(WORK / "own").glob("*.whl"))))
    pip("install", "--no-deps", "--no-index", "--no-compile", *wheels, python=home)
    for name in ("include", "lib64", "bin"):
        path = home / name
        path.unlink() if path.is_symlink() else shutil.rmtree(path, ignore_errors=True)
    (home / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {build.python[0]}.{build.python[1]}\n"
    )
    programs = home / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to("../../../bin/python3")
    for script in distribution("sendproof").entry_points.select(group="console_scripts"):
        # Isolated: no variable of the environment, and nothing of the user's, brings other code in.
        text = f"#!/{HOME}/bin/python3 -I\nimport sys\n\nfrom {script.module} import {script.attr}\n\n"
        put(programs / script.name, text + f"sys.exit({script.attr}())\n", 0o755)
    for path in list(build.site_packages.rglob("*")):
        if path.is_dir() and path.name in ("tests", "test", "__pycache__"):
            shutil.rmtree(path)
    for info in build.site_packages.glob("*.dist-info"):
        _forget_this_machine(info)
    # Only what was built here: the others came stripped, or were patched and do not bear it.
    for path in build.site_packages.glob("milter.*.so"):
        run("strip", "--strip-unneeded", str(path))


def _forget_this_machine(info: Path) -> None:
    """Leave in RECORD what is there, without sums of what was changed."""
    (info / "direct_url.json").unlink(missing_ok=True)
    record = info / "RECORD"
    kept = []
    for line in record.read_text(encoding="utf-8").splitlines():
        name = line.rsplit(",", 2)[0].strip('"')
        if (info.parent / name).exists():
            kept.append(f"{line.rsplit(',', 2)[0]},," if name.endswith(".so") or "/bin/" in name else line)
    record.write_text("\n".join(sorted(kept)) + "\n", encoding="utf-8")


def compile_all(build: Build) -> None:
    """Byte code that names the files where they will be, and is good without a look at them."""
    run(
        SYSTEM_PYTHON, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash",
        "-s", str(build.tree), "-p", "/", str(build.site_packages),
    )  # fmt: skip


def pip(command: str, *words: str, python: Path | None) -> None:
    """Run pip for the environment ``python``; None: for this one."""
    target = ["--python", str(python / "bin" / "python")] if python else []
    run(sys.executable, "-m", "pip", *target, "--quiet", "--disable-pip-version-check", command, *words)


# --- files -----------------------------------------------------------------------------------------------------------


def place_files(build: Build) -> None:
    """Everything that is not Python."""
    tree = build.tree
    for path in sorted((SOURCES / "systemd").rglob("*")):
        if path.is_file():
            put(tree / "lib/systemd/system" / path.relative_to(SOURCES / "systemd"), path)
    put(tree / "usr/lib/sysusers.d/sendproof.conf", SOURCES / "etc/sysusers.conf")
    put(tree / "usr/lib/tmpfiles.d/sendproof.conf", SOURCES / "etc/tmpfiles.conf")
    put(tree / "etc/logrotate.d/sendproof", SOURCES / "etc/logrotate")
    put(tree / HOME / "first-settings", SOURCES / "programs/first-settings", 0o755)
    put(tree / "usr/bin/sendproof", SOURCES / "programs/sendproof", 0o755)
    (tree / "usr/sbin").mkdir()
    for program in (tree / HOME / "bin").iterdir():
        if _DAEMON.fullmatch(program.name):
            (tree / "usr/sbin" / program.name).symlink_to(Path("..") / HOME.relative_to("usr") / "bin" / program.name)
    (tree / "etc/sendproof").mkdir()
    documents = tree / "usr/share/doc/sendproof"
    for path in sorted((SOURCES / "examples").iterdir()):
        put(documents / "examples" / path.name, path)
    for path in sorted((REPOSITORY / "docs").glob("*.md")):
        put(documents / path.name, path)
    put(documents / "README.Debian", SOURCES / "debian/README.Debian")
    put(documents / "copyright", debian_papers.copyright_text(build.site_packages, f"/{HOME}"))
    put_compressed(documents / "changelog.gz", (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"))
    put_compressed(documents / "changelog.Debian.gz", debian_papers.changelog(build.version, build.epoch, maintainer()))
    put(tree / "usr/share/lintian/overrides/sendproof", SOURCES / "debian/lintian-overrides")


def place_pages(build: Build) -> None:
    """The manual."""
    day = dt.datetime.fromtimestamp(build.epoch, dt.UTC).date()
    for page in man_pages.pages(day, build.version):
        put_compressed(build.tree / f"usr/share/man/man{page.section}/{page.name}.{page.section}.gz", page.text)


def write_control(build: Build) -> None:
    """DEBIAN/: what dpkg needs to know."""
    control = build.tree / "DEBIAN"
    size = sum(-(-path.lstat().st_size // 1024) for path in build.tree.rglob("*") if path.is_file())
    major, minor = build.python
    values = {
        "VERSION": build.version,
        "ARCHITECTURE": build.architecture,
        "MAINTAINER": maintainer(),
        "SIZE": str(size),
        "SHLIBS": shared_libraries(build),
        "PYTHON": f"python3 (>= {major}.{minor}), python3 (<< {major}.{minor + 1})",
    }
    text = (SOURCES / "debian/control.in").read_text(encoding="utf-8")
    put(control / "control", re.sub("@([A-Z]+)@", lambda found: values[found[1]], text))
    for script in ("postinst", "prerm", "postrm"):
        put(control / script, SOURCES / "debian" / script, 0o755)
    put(control / "conffiles", "".join(f"/{path.relative_to(build.tree)}\n" for path in files(build.tree / "etc")))
    sums = [
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(build.tree)}\n"
        for path in files(build.tree)
        if not path.is_relative_to(control) and not path.is_relative_to(build.tree / "etc")
    ]
    put(control / "md5sums", "".join(sums))


def shared_libraries(build: Build) -> str:
    """The Debian packages with the libraries that ours are linked with, as dpkg-shlibdeps knows them."""
    libraries = [path for path in files(build.tree / HOME) if ".so" in path.suffixes]
    private = sorted({str(path.parent) for path in libraries if path.parent.name.endswith(".libs")})
    folder = WORK / "shlibdeps"
    put(folder / "debian/control", "Source: sendproof\n\nPackage: sendproof\nArchitecture: any\n")
    said = run(
        "dpkg-shlibdeps", "-O", "--ignore-missing-info", *(f"-l{path}" for path in private),
        *(f"-e{path}" for path in libraries), cwd=folder,
    )  # fmt: skip
    return said.strip().removeprefix("shlibs:Depends=")


def maintainer() -> str:
    """Debian's form of a name and an address, from the environment as Debian's tools take it."""
    name = os.environ.get("DEBFULLNAME", "Sendproof maintainers")
    return f"{name} <{os.environ.get('DEBEMAIL', 'maintainers@sendproof.invalid')}>"


def pack(build: Build) -> None:
    """The archive; older ones in dist/ are removed."""
    for folder, _, names in os.walk(build.tree, topdown=False):
        for path in (*(Path(folder) / name for name in names), Path(folder)):
            if not path.is_symlink():
                executable = path.stat().st_mode & 0o100 and ".so" not in path.suffixes
                path.chmod(0o755 if path.is_dir() or executable else 0o644)
            os.utime(path, (build.epoch, build.epoch), follow_symlinks=False)
    DIST.mkdir(exist_ok=True)
    target = target_of(build)
    growing = WORK / target.name
    run(
        "dpkg-deb", "--build", "--root-owner-group", "-Zxz", "-z1", str(build.tree), str(growing),
        environment={"SOURCE_DATE_EPOCH": str(build.epoch)},
    )  # fmt: skip
    for old in DIST.glob("sendproof_*.deb"):
        old.unlink()
    growing.rename(target)


def files(folder: Path) -> Iterator[Path]:
    """Every ordinary file below it, sorted."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())


def put(target: Path, content: str | Path, mode: int = 0o644) -> None:
    """A file with this text, or like that file; its folder is made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(content.read_text(encoding="utf-8") if isinstance(content, Path) else content, encoding="utf-8")
    target.chmod(mode)


def put_compressed(target: Path, text: str) -> None:
    """As Debian compresses: best, without name and time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def run(
    *command: str, cwd: Path = REPOSITORY, environment: dict[str, str] | None = None, fallback: str | None = None
) -> str:
    """A tool's output; ``fallback`` where it fails.

    Raises:
        BuildFailed: it failed, and there is no fallback.
    """
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})},
        )  # fmt: skip
    except FileNotFoundError:
        done = subprocess.CompletedProcess(command, 127, "", "it is not installed")
    if done.returncode != 0:
        if fallback is not None:
            return fallback
        raise BuildFailed(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
