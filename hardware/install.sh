#!/bin/sh
# Makes this checkout the boot service of this board. As root; again after every update; --help says more.
set -eu

usage() {
    cat <<'TEXT'
usage: sudo hardware/install.sh [--board NAME] [--root DIR] [--no-start]
       sudo hardware/install.sh --uninstall

Copies the program to /opt/glasses, makes its virtual environment, fetches the models to /var/lib/glasses, installs the
udev rules, the user `glasses` and glasses.service, and starts it. An update that crashes twice as it starts gives way to
the program before.

  --board NAME   hardware/boards/NAME.toml (default: guessed from the device tree, else desktop)
  --root DIR     install into an image mounted at DIR: files only, nothing is started, no models
  --no-start     everything but starting it now
  --uninstall    removes all of it but /var/lib/glasses, /etc/glasses and /etc/glasses.toml, which are yours

Debian packages it needs: python3-venv, a C++ compiler and cmake (llama.cpp), libportaudio2; for a ribbon-cable camera
python3-picamera2, with `source = "csi"` under [camera] in /etc/glasses.toml, the configuration of the boot service.
TEXT
}

here=$(cd "$(dirname "$0")/.." && pwd)
board='' root='' start=yes uninstall=no
while [ $# -gt 0 ]; do
    case $1 in
        --board) board=${2:?--board needs a name}; shift ;;
        --root) root=${2:?--root needs a folder}; shift ;;
        --no-start) start=no ;;
        --uninstall) uninstall=yes ;;
        --help | -h) usage; exit 0 ;;
        *) echo "install.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
    esac
    shift
done
if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then
    echo "install.sh: run it as root: sudo $0" >&2
    exit 2
fi

unit=$root/etc/systemd/system/glasses.service
rules=$root/etc/udev/rules.d/99-glasses.rules
users=$root/etc/sysusers.d/glasses.conf
trial=$root/opt/glasses.trial
live() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

if [ "$uninstall" = yes ]; then
    if live; then systemctl disable --now glasses.service || true; fi
    rm -rf "$unit" "$unit.d" "$rules" "$users" "$trial" "$root/opt/glasses" "$root/opt/glasses.failed"
    if live; then systemctl daemon-reload && udevadm control --reload; fi
    echo "removed; recordings, memory of tokens and models are still in /var/lib/glasses"
    exit 0
fi

if [ -z "$board" ]; then
    case $(tr -d '\0' 2>/dev/null </sys/firmware/devicetree/base/model || true) in
        'Raspberry Pi 5'*) board=pi5 ;;
        'Raspberry Pi Zero 2'*) board=zero2w ;;
        *'Orin Nano'*) board=orin-nano ;;
        *) board=desktop ;;
    esac
fi
if [ ! -f "$here/hardware/boards/$board.toml" ]; then
    echo "install.sh: no board $board; there are:" "$(cd "$here/hardware/boards" && ls)" >&2
    exit 2
fi

# The new program is put beside the old one and takes its place when it is whole: a pulled plug leaves one of the two.
new=$root/opt/glasses.new
rm -rf "$new"
mkdir -p "$new" "$root/etc/glasses" "$root/var/lib/glasses"
for part in README.md LICENSE pyproject.toml glasses firmware_bridge models quantize hardware; do
    cp -R "$here/$part" "$new/"
done
find "$new" -name __pycache__ -prune -exec rm -rf {} +
if [ -z "$root" ]; then
    # picamera2 belongs to the system's libcamera and cannot come from PyPI; elsewhere the environment stays closed.
    if python3 -c 'import picamera2' 2>/dev/null; then system=--system-site-packages; else system=; fi
    python3 -m venv $system "$new/.venv"
    # pip's cache of built wheels does not record CMAKE_ARGS, so it is bypassed where they are set.
    if [ -n "${CMAKE_ARGS:-}" ]; then export PIP_NO_CACHE_DIR=1; fi
    # Editable: board files and manifests lie beside the package. The paths inside are those of the final place.
    CMAKE_ARGS="${CMAKE_ARGS:-} -DCMAKE_PROJECT_llama_cpp_INCLUDE=$here/.ci/llama_cpp.cmake" \
        "$new/.venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --constraint "$here/.ci/constraints.txt" --editable "${new}[voice,service]"
    grep -rlIF "$new" "$new/.venv" | xargs -r sed -i "s|$new|/opt/glasses|g"
fi
rm -rf "$root/opt/glasses.old"
if [ -d "$root/opt/glasses" ]; then mv "$root/opt/glasses" "$root/opt/glasses.old"; fi
# It is on trial: where it crashes twice as it starts, the one before comes back (hardware/trial.sh, copied outside of both).
if [ -d "$root/opt/glasses.old" ]; then echo '0 0 0' >"$new/.trial"; fi
mv "$new" "$root/opt/glasses"

install -D -m 755 "$here/hardware/trial.sh" "$trial"
install -D -m 644 "$here/hardware/glasses.service" "$unit"
install -D -m 644 "$here/hardware/99-glasses.rules" "$rules"
install -D -m 644 "$here/hardware/glasses.sysusers" "$users"
if [ ! -f "$root/etc/glasses.toml" ]; then
    cat >"$root/etc/glasses.toml" <<'TOML'
# How the boot service runs; `glasses config show` prints every key, `glasses config check` checks this file.
TOML
    # A board that an installation of version 0.1 chose is in /etc/glasses/environment.
    if [ ! -f "$root/etc/glasses/environment" ]; then printf 'board = "%s"\n' "$board" >>"$root/etc/glasses.toml"; fi
fi
chmod 644 "$root/etc/glasses.toml"
# Longer and longer pauses between restarts, where systemd knows how.
version=$(systemctl --version 2>/dev/null | sed -n '1s/systemd \([0-9]*\).*/\1/p')
if [ "${version:-0}" -ge 254 ]; then
    install -D -m 644 "$here/hardware/backoff.conf" "$unit.d/backoff.conf"
fi

if [ -n "$root" ]; then
    mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
    ln -sfn ../glasses.service "$root/etc/systemd/system/multi-user.target.wants/glasses.service"
    echo "installed into $root for board $board; on its first boot run /opt/glasses/hardware/install.sh there"
    exit 0
fi

systemd-sysusers /etc/sysusers.d/glasses.conf
chown -R glasses:glasses /var/lib/glasses
runuser -u glasses -- env GLASSES_MODELS=/var/lib/glasses/models /opt/glasses/.venv/bin/glasses models pull
if live; then
    systemctl daemon-reload
    udevadm control --reload
    udevadm trigger --subsystem-match=tty
    systemctl enable glasses.service
    if [ "$start" = yes ]; then systemctl restart glasses.service; fi
fi
echo "installed for board $board; /opt/glasses/.venv/bin/glasses check says how it is"
