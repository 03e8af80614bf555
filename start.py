"""One rule: make the environment, then hand every word to mlsys.

    python start.py run          the system on simulated events, every notebook, a scoreboard, a report
    python start.py test         the whole test suite
    python start.py lab          notebooks to work in (copies, outputs cleared)
    python start.py --help       everything else

Windows: `py start.py run`. Needs Python 3.11 or newer and nothing else; uses uv when it is installed.
MLSYS_VENV=<folder> puts the environment elsewhere than .venv.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LOCK = ROOT / "requirements.lock"
VENV = Path(os.environ.get("MLSYS_VENV") or ROOT / ".venv").resolve()
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "mlsys.stamp"


def wanted() -> str:
    """What the environment was made from; another lock, Python or checkout makes it anew."""
    return f"{hashlib.sha256(LOCK.read_bytes()).hexdigest()} {sys.version_info[:2]} {ROOT}"


def install(command: list[str]) -> None:
    """Run an installer quietly, counting the packages it names; on failure show all it said."""
    total = sum(line[:1].isalnum() for line in LOCK.read_text(encoding="utf-8").splitlines())
    seen, said, live = 0, [], sys.stdout.isatty()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout or ():
        said.append(line)
        seen += line.startswith(("Collecting ", "Processing "))
        if live:
            step = "unpacking, compiling" if line.startswith("Installing ") else "downloading"
            print(f"\r  {seen:>3} of at most {total} packages, {step:<22}", end="", flush=True)
    print("\r" + " " * 60 + "\r" if live else "", end="")
    if process.wait():
        sys.exit("".join(said[-40:]) + "\nThe install failed (above). Mend the cause, run the same command again.")


def make() -> None:
    """Build the environment from nothing; the stamp goes in last, so a broken one is never reused."""
    print(f"Making the environment in {VENV.name} (once, about 860 MB, 1-3 minutes) ...", flush=True)
    uv, lock = shutil.which("uv"), ["--require-hashes", "-r", str(LOCK)]
    if uv:
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, str(VENV)], check=True)
        install([uv, "pip", "install", "-q", "--python", str(PYTHON), "--compile-bytecode", *lock])
    else:
        venv.create(VENV, with_pip=True, clear=True)
        install([str(PYTHON), "-m", "pip", "install", "--compile", *lock])
    paths = {"base": str(VENV), "platbase": str(VENV), "installed_base": str(VENV)}
    (Path(sysconfig.get_path("purelib", "venv", paths)) / "mlsys.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    STAMP.write_text(wanted(), encoding="utf-8")


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 - this is the file that says so
        sys.exit(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}. Try: python3.12 start.py")
    if not STAMP.exists() or STAMP.read_text(encoding="utf-8") != wanted():
        make()
    os.environ.setdefault("PYTHONUTF8", "1")  # or a Windows console stumbles over "µs"
    command = [str(PYTHON), "-m", "mlsys", *sys.argv[1:]]
    if os.name == "posix":  # Take its place, so that a SIGTERM reaches it and not only this file.
        sys.stdout.flush()
        os.execv(command[0], command)
    try:
        sys.exit(subprocess.run(command).returncode)
    except KeyboardInterrupt:  # Ctrl-C reaches mlsys as well, which ends in order
        sys.exit(130)
