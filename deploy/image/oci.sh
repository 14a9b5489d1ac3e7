# shellcheck shell=bash
# How images are made without a registry: sourced, in the folder of the sources, by who builds one (agent-image/build,
# deploy/image/build, deploy/debian/build), which sets `name` for what it says. What is made depends on what is put in and on
# SOURCE_DATE_EPOCH alone: two builds are equal.

die() { echo "$name: $*" >&2; exit 1; }
say() { echo "$name: $*" >&2; }
digest() { sha256sum | cut -c1-16; }

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
triple=x86_64-unknown-linux-musl
# 2026-01-01: a fixed day, so that only what is in the image decides about its digest.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1767225600}
export LC_ALL=C.UTF-8
umask 022

# static_program PACKAGE NAME PATH PROFILE: sets `program` to PATH, or to what cargo builds where that is empty.
static_program() {
    program=$3
    [ -z "$program" ] || return 0
    rustup target list --installed 2>/dev/null | grep -qx $triple || rustup target add $triple >&2
    "${CARGO:-cargo}" build --quiet --locked --profile "$4" --target $triple --package "$1" >&2
    program=$target/$triple/$4/$2
}

# layer TREE FILE USER PLACE…: one layer, in the order of names, all of root but the places, which are the user's, whoever builds.
layer() {
    local from=$1 file=$2 user=$3 place excluded=()
    shift 3
    for place in "$@"; do excluded+=(--exclude="./$place"); done
    local options=(--format=pax --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime
        --sort=name "--mtime=@$SOURCE_DATE_EPOCH" --numeric-owner)
    tar -C "$from" "${options[@]}" --owner=0 --group=0 "${excluded[@]}" -cf "$file" .
    tar -C "$from" "${options[@]}" --owner="$user" --group="$user" -rf "$file" "$@"
}

# oci_archive LAYER FILE WORK CONFIG…: the image of that layer, with what buildah config is told.
oci_archive() {
    local tar=$1 file=$2 work=$3 container store
    shift 3
    # Storage of its own, gone afterwards: the machine's images are none of its business.
    store=(--root "$work/storage" --runroot "$work/run" --storage-driver vfs)
    container=$(buildah "${store[@]}" from scratch)
    buildah "${store[@]}" add --quiet "$container" "$tar" / >/dev/null
    buildah "${store[@]}" config "$@" --stop-signal SIGTERM "$container"
    mkdir -p "$(dirname "$file")"
    rm -f "$file"
    buildah "${store[@]}" commit --quiet --identity-label=false --disable-compression=false --format oci --timestamp "$SOURCE_DATE_EPOCH" "$container" "oci-archive:$file" >/dev/null
    rm -rf "$work/storage" "$work/run"
}

# labels TITLE DESCRIPTION: what says whose image this is. Where it comes from is known to who publishes it.
labels() {
    config+=(--label "org.opencontainers.image.title=$1" --label "org.opencontainers.image.description=$2"
        --label "org.opencontainers.image.licenses=Apache-2.0"
        --label "org.opencontainers.image.version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)"
        ${IMAGE_REVISION:+--label "org.opencontainers.image.revision=$IMAGE_REVISION"}
        ${IMAGE_SOURCE:+--label "org.opencontainers.image.source=$IMAGE_SOURCE"})
}

# sizes FILE: the digest of an image and what its layers weigh, on standard output.
sizes() {
    python3 - "$1" <<'END'
import json, sys, tarfile
archive = tarfile.open(sys.argv[1])
read = lambda name: json.load(archive.extractfile(name))
manifest = read("index.json")["manifests"][0]["digest"]
print("manifest", manifest)
for layer in read("blobs/" + manifest.replace(":", "/"))["layers"]:
    print("layer   ", layer["digest"], f"{layer['size'] / 1e6:.1f} MB compressed")
END
}
