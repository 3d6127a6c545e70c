# Sourced by the other scripts: where things are cached, what the machine lacks, how RocksDB comes.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${STREAMS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/streams-rs}

rocksdb_version=11.8.1
rocksdb_jar_sha256=628ed387887f4a431df480857954df2a28b4389bfe24858ccdec611cabf65dbf

say() { printf '\n== %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Installs Debian packages whose probe fails: `need "probe command" package...`
missing_packages=()
need() {
    local probe=$1
    shift
    bash -c "$probe" >/dev/null 2>&1 || missing_packages+=("$@")
}

install_missing_packages() {
    [ ${#missing_packages[@]} -gt 0 ] || return 0
    have apt-get || die "please install what is missing by hand: ${missing_packages[*]}"
    local sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    [ -z "$sudo" ] || have sudo || die "please install as root: apt-get install ${missing_packages[*]}"
    say "installing ${missing_packages[*]} (Debian packages, about a minute)"
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing_packages[@]}"
    missing_packages=()
}

install_build_tools() {
    need 'command -v curl' curl ca-certificates
    need 'command -v git' git
    need 'command -v cc && command -v c++ && command -v make' build-essential
    need 'command -v pkg-config' pkg-config
    need 'command -v python3' python3-minimal
    need 'pkg-config --exists openssl || test -e /usr/include/openssl/ssl.h' libssl-dev
    need 'test -e /usr/include/zlib.h' zlib1g-dev
    # The library, and the headers that come with it.
    need '{ ls /usr/lib/llvm-*/lib/libclang.so* && ls /usr/lib/llvm-*/lib/clang/*/include/stddef.h; } ||
        test -n "${LIBCLANG_PATH:-}"' libclang-dev
    install_missing_packages
    if ! have cargo && [ -e "$HOME/.cargo/env" ]; then . "$HOME/.cargo/env"; fi
    if ! have cargo; then
        say "installing Rust by rustup (about a minute)"
        curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --no-modify-path
        . "$HOME/.cargo/env"
    fi
}

install_java_tools() {
    need 'command -v javac' default-jdk-headless
    need 'command -v mvn' maven
    install_missing_packages
}

# Writes .cargo/config.toml (git-ignored): build output in the cache, so that a second clone reuses
# it, and the prebuilt RocksDB unless `bundled` was asked for.
configure_cargo() {
    local rocksdb=$1 config=$root/.cargo/config.toml
    mkdir -p "$root/.cargo" "$cache"
    local text
    text=$(printf '# Written by scripts/lib.sh.\n[build]\ntarget-dir = "%s/target%s"\n' \
        "$cache" "$([ "$rocksdb" = bundled ] && echo -bundled)")
    if [ "$rocksdb" = prebuilt ] && fetch_rocksdb; then
        local dir=$cache/rocksdb/$rocksdb_version
        text+=$(printf '\n\n[env]\nROCKSDB_LIB_DIR = "%s"\n\n[target.x86_64-unknown-linux-gnu]\nrustflags = ["-Clink-arg=-Wl,-rpath,%s"]\nrustdocflags = ["-Clink-arg=-Wl,-rpath,%s"]\n\n[target.aarch64-unknown-linux-gnu]\nrustflags = ["-Clink-arg=-Wl,-rpath,%s"]\nrustdocflags = ["-Clink-arg=-Wl,-rpath,%s"]' \
            "$dir" "$dir" "$dir" "$dir" "$dir")
    elif [ "$rocksdb" = prebuilt ]; then
        say "no prebuilt RocksDB for this machine: compiling it (about 10 minutes on 2 cores)"
    else
        say "RocksDB is compiled from its bundled source (about 10 minutes on 2 cores, once)"
    fi
    # Unchanged files keep their time: cargo would build again otherwise.
    [ -e "$config" ] && [ "$text" = "$(cat "$config")" ] || printf '%s\n' "$text" >"$config"
}

# The library of the same version that RocksDB's Java package carries; it exports the whole C API.
fetch_rocksdb() {
    local dir=$cache/rocksdb/$rocksdb_version library
    case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) library=librocksdbjni-linux64.so ;;
    Linux-aarch64) library=librocksdbjni-linux-aarch64.so ;;
    *) return 1 ;;
    esac
    [ -e "$dir/librocksdb.so" ] && return 0
    say "downloading the prebuilt RocksDB $rocksdb_version from Maven Central (92 MB)"
    local work
    work=$(mktemp -d)
    if have mvn; then
        mvn -q -B dependency:copy -Dartifact=org.rocksdb:rocksdbjni:$rocksdb_version \
            -DoutputDirectory="$work" >&2
    else
        curl -sSfL -o "$work/rocksdbjni-$rocksdb_version.jar" \
            "https://repo1.maven.org/maven2/org/rocksdb/rocksdbjni/$rocksdb_version/rocksdbjni-$rocksdb_version.jar"
    fi
    echo "$rocksdb_jar_sha256  $work/rocksdbjni-$rocksdb_version.jar" | sha256sum -c --quiet - ||
        die "the downloaded RocksDB is not the one that is expected (checksum); nothing was installed"
    python3 -c "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract(sys.argv[2], sys.argv[3])" \
        "$work/rocksdbjni-$rocksdb_version.jar" "$library" "$work"
    mkdir -p "$dir"
    mv "$work/$library" "$dir/librocksdb.so.part"
    mv "$dir/librocksdb.so.part" "$dir/librocksdb.so"
    rm -rf "$work"
}

# Copies the files of the repository, with changes that are not committed, to a directory of its own
# that may be changed: a git repository of one commit. Stays in it. Patches are applied there.
copy_repository() {
    local copy=$1
    say "copying the repository to $copy"
    [ ! -e "$copy" ] || [ -e "$copy/.mutations" ] || die "$copy is there already, and no copy of mine"
    rm -rf "$copy"
    mkdir -p "$copy"
    touch "$copy/.mutations"
    git ls-files -z | tar --null --files-from=- -cf - | tar -xf - -C "$copy"
    mkdir -p "$copy/.cargo"
    cp .cargo/config.toml "$copy/.cargo/config.toml"
    cd "$copy"
    rm -rf .git
    git init -q
    git add -A
    git -c user.name=mutations -c user.email=mutations@localhost commit -q -m "As it is" --no-gpg-sign
}
