#!/bin/sh
# Unpacks Debian's Python for arm64, and the wheels that run our ONNX models, into DIR: a root for qemu-aarch64-static.
# Usage: arm64_root.sh DIR onnxruntime==VERSION numpy==VERSION. Uses apt's own keys and sources, with lists of its own: the system's stay as they are.
set -eu
dir=$(mkdir -p "$1" && cd "$1" && pwd)
mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/debs" "$dir/root" "$dir/wheels"
apt="apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::Lists=$dir/lists -o Dir::Cache=$dir/cache -o APT::Sandbox::User=root"
$apt update
cd "$dir/debs"
$apt download python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libc6 libstdc++6 libgcc-s1 zlib1g libexpat1 \
    libssl3 libffi8 libbz2-1.0 liblzma5 libuuid1 libgomp1
for deb in *.deb; do dpkg-deb -x "$deb" "$dir/root"; done
python3 -m pip download --quiet --disable-pip-version-check --dest "$dir/wheels" --only-binary :all: --python-version 3.11 \
    --implementation cp --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
    --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 "$2" "$3"
for wheel in "$dir"/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$dir/site"; done
# qemu shows the host's /proc/cpuinfo, in which onnxruntime finds no ARM core and crashes; a file under the root goes first.
# This is a Cortex-A76 (Raspberry Pi 5), with the dot product that our int8 kernels use.
mkdir -p "$dir/root/proc"
for core in 0 1; do
    printf 'processor\t: %s\nFeatures\t: fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp asimdrdm asimddp\n' $core
    printf 'CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x4\nCPU part\t: 0xd0b\nCPU revision\t: 1\n\n'
done > "$dir/root/proc/cpuinfo"
