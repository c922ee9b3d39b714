#!/usr/bin/env bash
# Gets Redis 8 and runs it for the tests: Debian 13's redis-server with the C library of that Debian, unpacked into a cache
# folder, so that nothing is installed and it runs on older systems, too. The mirror is the one that apt uses here.
#
#   tests/redis-server.sh get                 unpacks it, if it is not there yet
#   tests/redis-server.sh run DIR [OPTION…]   runs it in DIR until it is killed, or whoever started it ends: for 127.0.0.1 only,
#                                             without persistence, with what OPTIONs of redis-server say. With --tls-port
#                                             among them its certificate is made, and signed by DIR/ca.crt.
#
# Exit code 3: it cannot be had here; the last line of standard error says why.
set -eu

cache=${XDG_CACHE_HOME:-$HOME/.cache}/knnscope/redis-server-8
suite=trixie
# What redis-server is linked with, down to the C library.
packages="redis-server redis-tools libatomic1 libc6 libcap2 libgcc-s1 libjemalloc2 liblzf1 libssl3t64 libstdc++6 libsystemd0
    libzstd1 zlib1g"

cannot() {
    echo "Redis 8 cannot be had here: $*" >&2
    exit 3
}

# Its own dynamic linker loads its own libraries; nothing of the system's is replaced.
in_root() {
    for linker in "$cache"/unpacked/usr/lib/*/ld-linux-*.so.*; do
        [ -f "$linker" ] || return 1
        echo "$linker --library-path $(dirname "$linker") $cache/unpacked/usr/bin/redis-server"
        return
    done
}

get() {
    mkdir -p "$cache"
    # Of two that get it at once, the second waits and finds it.
    exec 9> "$cache/.lock"
    flock 9
    [ -f "$cache/complete" ] && return
    for tool in apt-get dpkg-deb; do
        command -v "$tool" > /dev/null || cannot "it is a package of Debian, and $tool is missing"
    done
    # Mirrors of other systems have no such suite.
    mirror=$(apt-get indextargets --format '$(ORIGIN)/$(LABEL) $(REPO_URI)' 'Created-By: Packages' 2> /dev/null |
        sed -n 's|^Debian/Debian ||p' | head -n 1)
    [ -n "$mirror" ] || cannot "apt knows no mirror of Debian, or no lists of packages yet (apt-get update)"
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -f "$keyring" ] || cannot "$keyring is missing (package debian-archive-keyring)"
    apt=$cache/apt
    rm -rf "$apt" "$cache/unpacked"
    mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/debs" "$cache/unpacked"
    echo "deb [signed-by=$keyring] $mirror $suite main" > "$apt/sources.list"
    # A state of its own: the system's lists of packages stay as they are.
    options="-o Dir::State=$apt -o Dir::State::lists=$apt/lists -o Dir::State::status=/dev/null -o Dir::Cache=$apt
        -o Dir::Etc::sourcelist=$apt/sources.list -o Dir::Etc::sourceparts=- -o Acquire::Retries=2
        -o Acquire::http::Timeout=20 -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false"
    timeout 180 apt-get $options --error-on=any -q update > "$apt/log" 2>&1 ||
        cannot "the mirror did not give the packages' list of $suite: $(tail -n 1 "$apt/log")"
    (cd "$apt/debs" && timeout 300 apt-get $options -q download $packages) > "$apt/log" 2>&1 ||
        cannot "the mirror did not give the packages: $(tail -n 1 "$apt/log")"
    for package in "$apt"/debs/*.deb; do
        dpkg-deb -x "$package" "$cache/unpacked" || cannot "$package cannot be unpacked"
    done
    rm -rf "$apt"
    server=$(in_root) || cannot "the C library's dynamic linker is not where it is expected"
    told=$($server --version 2>&1) || cannot "what was unpacked does not run: $(echo "$told" | tail -n 1)"
    touch "$cache/complete"
}

# A certificate for localhost and 127.0.0.1 in folder $1, and who signed it.
make_certificate() {
    command -v openssl > /dev/null || cannot "there is no openssl to make a certificate"
    (
        cd "$1"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=tests of knnscope" \
            -addext "basicConstraints=critical,CA:TRUE" -keyout ca.key -out ca.crt
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=localhost" \
            -keyout server.key -out server.csr
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' > server.ext
        openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.crt
    ) > "$1/openssl.log" 2>&1 || cannot "openssl made no certificate: $(tail -n 1 "$1/openssl.log")"
}

run() {
    folder=$1
    shift
    get
    # The lock of the cache is not the server's.
    exec 9>&-
    mkdir -p "$folder"
    tls=
    for option in "$@"; do
        if [ "$option" = --tls-port ]; then
            make_certificate "$folder"
            tls="--tls-cert-file $folder/server.crt --tls-key-file $folder/server.key --tls-ca-cert-file $folder/ca.crt
                --tls-auth-clients no"
        fi
    done
    bound=
    command -v setpriv > /dev/null && bound="setpriv --pdeathsig KILL"
    exec $bound $(in_root) --bind 127.0.0.1 --dir "$folder" --save "" --appendonly no $tls "$@"
}

case ${1:-} in
    get) get ;;
    run) [ $# -ge 2 ] || { echo "usage: $0 run DIR [OPTION…]" >&2; exit 2; }; shift; run "$@" ;;
    *) echo "usage: $0 get | run DIR [OPTION…]" >&2; exit 2 ;;
esac
