# Sourced by `run` and `test`: installs the system packages that are missing, or names them.
#
#   install_packages build run     installs what packaging/packages lists for these purposes

say() { printf '%s\n' "knnscope: $*" >&2; }

is_there() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q '^install ok installed$'; }

# The first alternative that is installed, else the first that can be; nothing if none.
choose() {
    local name
    for name in "$@"; do
        if is_there "$name"; then return; fi
    done
    for name in "$@"; do
        if apt-cache show "$name" >/dev/null 2>&1; then
            printf '%s ' "$name"
            return
        fi
    done
    printf '%s ' "$1"
}

# What of the lists is not installed.
missing_packages() {
    local purpose wanted names
    for wanted in "$@"; do
        while read -r purpose names; do
            # shellcheck disable=SC2086 # the alternatives are words
            if [ "$purpose" = "$wanted" ]; then choose $names; fi
        done <packaging/packages
    done
}

install_packages() {
    local missing as_root=
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        say "this is no Debian or Ubuntu, so nothing is installed for you. Needed are C and C++ compilers, OpenBLAS, pkg-config,"
        say "libclang, the development files of libavcodec, libavformat, libavutil and libswscale (FFmpeg 5.1 or newer),"
        say "and for the window OpenGL, X11 (with libxkbcommon-x11) or Wayland. The names on Debian:"
        awk '!/^#/ { print "  " $1 ": " $2 }' packaging/packages >&2
        return
    fi
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        if command -v sudo >/dev/null; then
            as_root=sudo
        else
            say "these packages are missing; install them as root, then call this again:"
            say "  apt-get install --no-install-recommends $missing"
            exit 1
        fi
    fi
    say "installing system packages: $missing"
    $as_root apt-get update -qq >/dev/null || say "the package lists could not be refreshed; trying with what is there"
    # The lists may offer other alternatives now.
    missing=$(missing_packages "$@")
    # shellcheck disable=SC2086 # the names are words
    if ! $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null; then
        say "the packages could not be installed; install them by hand: $missing"
        exit 1
    fi
}

need_rust() {
    if ! command -v cargo >/dev/null && [ -f "$HOME/.cargo/env" ]; then . "$HOME/.cargo/env"; fi
    if ! command -v cargo >/dev/null; then
        say "no Rust toolchain (cargo) found; install Rust 1.95 or newer with rustup"
        exit 1
    fi
}

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/knnscope/target}"
